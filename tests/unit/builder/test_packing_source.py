"""A project's files as a layer."""

import hashlib
import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cynthus.builder.packing import keys
from cynthus.builder.packing.layer import SourceRefused
from cynthus.builder.packing.source import UNCOMPRESSED_BYTES, source_layer, with_outputs
from cynthus.snapshots.manifest import Entry, decode, encode
from tests.fixtures.wheels import Item, items_of

_OWNER = (1000, 1000)


def _entry(path: str, content: bytes, *, executable: bool = False) -> Entry:
    return Entry(path, len(content), executable, (hashlib.sha256(content).hexdigest(),) if content else ())


def _reader(files: dict[str, bytes], piece: int = 1000):
    def read(entry: Entry) -> Iterator[bytes]:
        content = files[entry.path]
        yield from (content[at : at + piece] for at in range(0, len(content), piece))

    return read


def _pack(files: dict[str, bytes], target, *more: Entry, piece: int = 1000):
    entries = [_entry(path, content, executable=path.endswith(".sh")) for path, content in files.items()]
    return source_layer([*entries, *more], _reader(files, piece), target)


def test_files_are_in_app_and_belong_to_the_user(tmp_path):
    files = {"train.py": b"print(1)\n", "deep/er/run.sh": b"#!/bin/sh\n", "empty": b""}
    layer, left_out = _pack(files, tmp_path / "layer", Entry("nothing/here", folder=True))
    assert left_out == ()
    assert layer.descriptor().annotations == {
        "dev.cynthus.layer": "source",
        "dev.cynthus.diff-id": layer.diff_id,
    }
    assert list(items_of(layer).items()) == [
        ("app", Item("folder", 0o755, _OWNER, b"")),
        ("app/deep", Item("folder", 0o755, _OWNER, b"")),
        ("app/deep/er", Item("folder", 0o755, _OWNER, b"")),
        ("app/deep/er/run.sh", Item("file", 0o755, _OWNER, b"#!/bin/sh\n")),
        ("app/empty", Item("file", 0o644, _OWNER, b"")),
        ("app/nothing", Item("folder", 0o755, _OWNER, b"")),
        ("app/nothing/here", Item("folder", 0o755, _OWNER, b"")),
        ("app/train.py", Item("file", 0o644, _OWNER, b"print(1)\n")),
    ]


def test_files_over_the_limit_are_left_out_and_named(tmp_path):
    files = {"data/large.csv": b"x" * 101, "data/small.csv": b"x" * 100, "a.bin": b"x" * 500}
    entries = [_entry(path, content) for path, content in files.items()]
    layer, left_out = source_layer(entries, _reader(files), tmp_path / "layer", largest_bytes=100)
    assert left_out == ("a.bin", "data/large.csv")
    assert sorted(items_of(layer)) == ["app", "app/data", "app/data/small.csv"]


@pytest.mark.parametrize(
    ("links", "kept"),
    [
        ({"a": "b"}, {"a"}),
        ({"deep/a": "../b"}, {"deep/a"}),
        ({"deep/a": "./../deep/../b"}, {"deep/a"}),
        ({"a": "."}, {"a"}),
        ({"a": "missing"}, {"a"}),
        ({"a": "/etc/passwd"}, set()),
        ({"a": ".."}, set()),
        ({"a": "../app/b"}, set()),
        ({"deep/a": "../../b"}, set()),
        ({"a": "deep/../../b"}, set()),
        # inside by its text, outside by way of another link
        ({"deep/up": "..", "a": "deep/up/../b"}, {"deep/up"}),
        ({"deep/up": "..", "a": "deep/up/b"}, {"deep/up", "a"}),
        ({"out": "/etc", "a": "out/passwd"}, set()),
        # round and round, but never out
        ({"a": "b", "b": "a"}, {"a", "b"}),
        ({"a": "a/b"}, {"a"}),
    ],
)
def test_links_are_kept_where_they_stay_inside(tmp_path, links, kept):
    more = [Entry(path, link=target) for path, target in links.items()]
    items = items_of(_pack({"z.py": b""}, tmp_path / "layer", *more)[0])
    found = {name.removeprefix("app/"): item for name, item in items.items() if item.kind == "link"}
    assert {name: item.link for name, item in found.items()} == {name: links[name] for name in kept}


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([Entry("../x")], "no path inside"),
        ([Entry("/x")], "no path inside"),
        ([Entry("a//x")], "no path inside"),
        ([Entry("a/\0")], "no path inside"),
        ([Entry("a"), Entry("a")], "is there twice"),
        ([Entry("a"), Entry("a/b")], "both a folder and not"),
        ([Entry("a", link="/etc"), Entry("a/passwd")], "both a folder and not"),
        ([Entry("a", 5, chunks=("0" * 64,))], "has not the 5 bytes"),
        ([Entry("a", 2, chunks=("0" * 64,))], "has not the 2 bytes"),
    ],
)
def test_contradictions_are_refused_and_nothing_is_left(tmp_path, entries, why):
    with pytest.raises(SourceRefused, match=why):
        source_layer(entries, lambda _: iter([b"abc"]), tmp_path / "layer")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_fails_leaves_nothing(tmp_path):
    def read(_: Entry) -> Iterator[bytes]:
        yield b"ab"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        source_layer([Entry("a", 9, chunks=("0" * 64,))], read, tmp_path / "layer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [10_000, UNCOMPRESSED_BYTES])
def test_the_bytes_do_not_depend_on_order_pieces_or_umask(tmp_path, size):
    files = {f"d{n}/ä{n}.py": random.Random(n).randbytes(size // 16) for n in range(16)}
    files["text.txt"] = b"the same words again and again " * (size // 31)
    first, _ = _pack(files, tmp_path / "first")
    before = os.umask(0o077)
    try:
        again, _ = _pack(dict(reversed(files.items())), tmp_path / "again", piece=77_777)
    finally:
        os.umask(before)
    assert again.digest == first.digest
    assert (tmp_path / "again").read_bytes() == (tmp_path / "first").read_bytes()
    assert {name: item.content for name, item in items_of(first).items() if item.kind == "file"} == {
        f"app/{path}": content for path, content in files.items()
    }


def test_little_source_is_not_compressed_and_much_is(tmp_path):
    little, _ = _pack({"a.txt": b"text " * 100_000}, tmp_path / "little")
    much, _ = _pack({"a.txt": b"text " * 1_000_000}, tmp_path / "much", piece=10**6)
    assert little.size > 500_000
    assert much.size < 100_000


_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=40
).filter(lambda name: name not in {".", ".."})


@given(st.dictionaries(st.tuples(_names, _names).map("/".join), st.binary(max_size=2000), max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_snapshot_comes_out_as_it_went_in(tmp_path, files):
    entries = list(decode(encode(_entry(path, content) for path, content in files.items())))
    layer, _ = source_layer(entries, _reader(files, 100), tmp_path / "layer")
    found = {name: item.content for name, item in items_of(layer).items() if item.kind == "file"}
    assert found == {f"app/{path}": content for path, content in files.items()}


def test_keys_are_stable_and_tell_apart_what_differs():
    one, two = "1" * 64, "2" * 64
    assert keys.wheel_key(one, "3.11") == f"wheel-1-3.11-{one}"
    assert keys.wheel_key(f"sha256:{one}", "3.11") == keys.wheel_key(one, "3.11")
    assert keys.packages_key([one, two], "3.11") == keys.packages_key([two, one], "3.11")
    assert keys.source_key(f"sha256:{one}") == f"source-1-50000000-{one}"
    different = {
        keys.wheel_key(one, "3.11"), keys.wheel_key(two, "3.11"), keys.wheel_key(one, "3.12"),
        keys.packages_key([one], "3.11"), keys.packages_key([one, two], "3.11"),
        keys.packages_key([], "3.11"),
        keys.packages_key([one], "3.12"), keys.venv_key("3.11", "/usr/bin/python3"),
        keys.venv_key("3.11", "/usr/local/bin/python3"), keys.venv_key("3.12", "/usr/bin/python3"),
        keys.source_key(one), keys.source_key(two), keys.source_key(one, 1),
    }  # fmt: skip
    assert len(different) == 13


@pytest.mark.parametrize(
    ("entries", "path", "added"),
    [
        ([Entry("a.py")], "outputs", ["outputs"]),
        ([Entry("outputs/old.csv")], "outputs", ["outputs"]),
        ([Entry("deep", folder=True)], "deep/results/", ["deep/results"]),
        ([Entry("outputs", link="elsewhere")], "outputs", []),
        ([Entry("outputs")], "outputs/today", []),
        ([Entry("a.py")], ".", []),
    ],
)
def test_the_folder_for_results_is_in_the_image_unless_it_cannot_be(entries, path, added, tmp_path):
    more = with_outputs(entries, path)
    assert [one.path for one in more[len(entries) :] if one.folder] == added
    source_layer(more, lambda _: iter(()), tmp_path / "layer")
