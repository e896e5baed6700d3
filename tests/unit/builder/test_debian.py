"""Debian's formats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.domain.debian import (
    Alternative,
    LinksLoop,
    Source,
    alternatives,
    downloads,
    identity,
    installed,
    is_package,
    is_skipped,
    sources,
    stanza,
    stanzas,
    through,
)

MERGED = {
    "lib": "usr/lib",
    "bin": "usr/bin",
    "etc/absolute": "/opt/there",
    "up": "../usr",
    "a": "b",
    "b": "a",
}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("lib/x86_64-linux-gnu/libz.so.1", "usr/lib/x86_64-linux-gnu/libz.so.1"),
        ("lib", "lib"),
        ("./usr/bin/x", "usr/bin/x"),
        ("etc/absolute/x", "opt/there/x"),
        ("up/bin/x", "usr/bin/x"),
        ("../../etc/passwd", "etc/passwd"),
    ],
)
def test_paths_go_through_the_links_of_the_base(path: str, place: str):
    assert through(path, MERGED) == place


def test_links_without_end_are_refused():
    with pytest.raises(LinksLoop):
        through("a/x", MERGED)


PARTS = st.lists(st.sampled_from(["a", "b", "c", "..", ".", ""]), max_size=6).map("/".join)


@given(PARTS, st.dictionaries(st.sampled_from(["a", "b", "a/b", "c/a"]), PARTS, max_size=4))
def test_no_path_leaves_the_image(path: str, links: dict[str, str]):
    try:
        place = through(path, links)
    except LinksLoop:
        return
    assert not place.startswith("/")
    assert ".." not in place.split("/")


@pytest.mark.parametrize(
    "name", ["libgl1", "g++", "libstdc++6", "python3.11", "libc6:amd64", "gcc=4:12.2.0-3"]
)
def test_names_of_packages(name: str):
    assert is_package(name)


@pytest.mark.parametrize(
    "name", ["", "-y", "--x", "libgl1-", "a b", "lib*", "./x.deb", "../x", "libgl1/bookworm", "A", "x"]
)
def test_what_apt_would_take_for_something_else_is_no_package(name: str):
    assert not is_package(name)


def test_what_is_to_be_fetched():
    hashed = "a" * 64
    text = f"noise\n'http://x/pool/libx%2b.deb' libxau6_1%3a1.0.9-1_amd64.deb 19720 SHA256:{hashed}\n"
    (deb,) = downloads(text)
    assert (deb.package, deb.version, deb.size, deb.sha256) == ("libxau6", "1:1.0.9-1", 19720, hashed)


def test_suites_of_both_forms_without_their_options():
    assert list(
        sources("# x\ndeb [trusted=yes] http://d/debian bookworm main contrib # y\ndeb-src http://d s main\n")
    ) == [Source("http://d/debian", "bookworm", ("main", "contrib"))]
    text = "Types: deb deb-src\n# words\nURIs: http://d/debian\nSuites: one\n two\nComponents: main\n"
    assert [one.suite for one in sources(text + "\n" + text.replace("Types", "Enabled: no\nTypes"))] == [
        "one",
        "two",
    ]


def test_paragraphs_and_the_status_of_an_installed_package():
    text = "Package: a\nDescription: one\n two\n .\n three\nMulti-Arch: same\nArchitecture: amd64\n"
    first, second = stanzas(text + "\nPackage: b\n")
    assert second == {"Package": "b"}
    assert identity(first) == "a:amd64"
    assert stanza(installed(first)).startswith(
        "Package: a\nStatus: install ok installed\nDescription: one\n two\n"
    )
    assert next(stanzas(stanza(first))) == first


def test_alternatives_of_literal_words():
    script = """
    update-alternatives --install /usr/lib/t/libblas.so.3 \\
        libblas.so.3-t /usr/lib/t/blas/libblas.so.3 10 \\
        --slave /usr/lib/t/other other /usr/lib/t/blas/other
    update-alternatives --install "$link" name "$path" 1
    update-alternatives --remove x y
    """
    assert list(alternatives(script)) == [
        Alternative("usr/lib/t/libblas.so.3", "libblas.so.3-t", "/usr/lib/t/blas/libblas.so.3", 10),
        Alternative("usr/lib/t/other", "other", "/usr/lib/t/blas/other", 10),
    ]


def test_manuals_stay_out_and_licences_in():
    assert is_skipped("usr/share/man/man1/x.1.gz")
    assert is_skipped("usr/share/doc/x/README")
    assert not is_skipped("usr/share/doc/x/copyright")
    assert not is_skipped("usr/share/docs")
