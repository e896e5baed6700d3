"""Locks: read, chosen for a target, written, named."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cynthus.builder.domain.lock import Lock, LockedPackage, LockRefused, Target, lock_key
from cynthus.builder.domain.pylock import folders, git_parts, parse_pylock, write_pylock
from cynthus.builder.domain.tags import rank
from cynthus.planning import MemoryTree, PlanRequest, plan
from cynthus.planning.document import Index

TARGET = Target("3.11", "linux/amd64", (2, 36))
HEAD = 'lock-version = "1.0"\ncreated-by = "test"\n'


def entry(*filenames, name="one", version="1.0", more="", sdist=None):
    wheels = ", ".join(
        f'{{ url = "https://x.example/{filename}", size = 1, hashes = {{ sha256 = "{"a" * 64}" }} }}'
        for filename in filenames
    )
    source = (
        f'sdist = {{ url = "https://x.example/{sdist}", hashes = {{ sha256 = "{"b" * 64}" }} }}\n'
        if sdist
        else ""
    )
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{more}{source}wheels = [{wheels}]\n'


def chosen(*filenames, target=TARGET, **values):
    return parse_pylock(HEAD + entry(*filenames, **values), target)[0].filename


WHEELS = (
    "one-1.0-py3-none-any.whl",
    "one-1.0-cp38-abi3-manylinux_2_28_x86_64.whl",
    "one-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "one-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    "one-1.0-cp311-cp311-manylinux_2_40_x86_64.whl",
    "one-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",
    "one-1.0-cp311-cp311-win_amd64.whl",
    "one-1.0-cp312-cp312-manylinux_2_28_aarch64.whl",
    "one-1.0-cp311-cp311-macosx_11_0_arm64.whl",
)


@pytest.mark.parametrize(
    ("target", "best"),
    [
        (TARGET, 3),
        (Target("3.11", "linux/amd64", (2, 40)), 4),
        (Target("3.11", "linux/amd64", (2, 17)), 2),
        (Target("3.12", "linux/amd64", (2, 36)), 1),
        (Target("3.12", "linux/arm64", (2, 36)), 7),
        (Target("3.11", "linux/arm64", (2, 36)), 0),
    ],
)
def test_the_best_wheel_for_the_target_is_chosen(target, best):
    assert chosen(*WHEELS, target=target) == WHEELS[best]
    assert chosen(*reversed(WHEELS), target=target) == WHEELS[best]


def test_of_two_builds_the_later_is_better():
    assert chosen("one-1.0-1-py3-none-any.whl", "one-1.0-2-py3-none-any.whl") == "one-1.0-2-py3-none-any.whl"


def test_without_a_fitting_wheel_the_source_is_taken():
    assert chosen("one-1.0-cp311-cp311-win_amd64.whl", sdist="one-1.0.tar.gz") == "one-1.0.tar.gz"


def test_without_wheel_and_source_the_refusal_names_package_platforms_and_fix():
    with pytest.raises(LockRefused) as refused:
        chosen("one-1.0-cp311-cp311-win_amd64.whl", "one-1.0-cp311-cp311-macosx_11_0_arm64.whl")
    assert refused.value.code == "wheel_missing"
    assert all(
        word in refused.value.message for word in ("one 1.0", "win_amd64", "macosx_11_0_arm64", "linux/amd64")
    )
    assert "another version of one" in refused.value.fix


def test_packages_for_other_systems_are_left_out():
    windows = entry("one-1.0-py3-none-any.whl", more="marker = \"sys_platform == 'win32'\"\n")
    linux = entry("two-1-py3-none-any.whl", name="two", more="marker = \"sys_platform == 'linux'\"\n")
    older = entry("three-1-py3-none-any.whl", name="three", more="marker = \"python_version < '3.11'\"\n")
    assert [one.name for one in parse_pylock(HEAD + windows + linux + older, TARGET)] == ["two"]


def test_commits_keep_their_address_and_folder():
    text = HEAD + (
        '[[packages]]\nname = "one"\nversion = "1.0"\nvcs = { type = "git", '
        'url = "ssh://git@x.example/one.git", commit-id = "abcdef0123456789", subdirectory = "py" }\n'
    )
    (package,) = parse_pylock(text, TARGET)
    assert git_parts(package) == ("ssh://git@x.example/one.git", "abcdef0123456789", "py")
    assert not package.is_wheel
    assert package.line() == "one @ git+ssh://git@x.example/one.git@abcdef0123456789#subdirectory=py"
    assert parse_pylock(write_pylock([package], TARGET), TARGET) == (package,)


def test_folders_of_the_project_are_left_out_and_named():
    text = HEAD + '[[packages]]\nname = "lib"\ndirectory = { path = "libs/lib", editable = true }\n'
    assert parse_pylock(text, TARGET) == ()
    assert folders(text) == (("lib", "libs/lib"),)


def test_private_indexes_are_recognised_by_address():
    text = HEAD + entry("one-1.0-py3-none-any.whl", more='index = "https://corp.example/simple"\n')
    (package,) = parse_pylock(text, TARGET, {"https://corp.example/simple/": "corp"})
    assert package.private
    assert parse_pylock(write_pylock([package], TARGET), TARGET) == (package,)


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        'lock-version = "2.0"\n',
        HEAD + "packages = 3\n",
        HEAD + '[[packages]]\nversion = "1"\n',
        HEAD + '[[packages]]\nname = "one"\nwheels = 3\n',
        HEAD + '[[packages]]\nname = "one"\nmarker = "what?"\n',
        HEAD + '[[packages]]\nname = "one"\nwheels = [{ url = "https://x/one-1-py3-none-any.whl" }]\n',
        HEAD + '[[packages]]\nname = "one"\nvcs = { type = "git", url = "https://x" }\n',
        HEAD + '[[packages]]\nname = "one"\nvcs = { type = "hg", url = "https://x", commit-id = "1" }\n',
        HEAD
        + '[[packages]]\nname = "one"\nsdist = { name = "../x", url = "https://x", '
        + f'hashes = {{ sha256 = "{"a" * 64}" }} }}\n',
        HEAD + '[[packages]]\nname = "one"\nversion = "1"\n',
    ],
)
def test_a_broken_lock_is_refused_with_a_reason(text):
    with pytest.raises(LockRefused) as refused:
        parse_pylock(text, TARGET)
    assert refused.value.fix


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text):
    for candidate in (text, HEAD + text, HEAD + '[[packages]]\nname = "one"\n' + text):
        with suppress(LockRefused):
            parse_pylock(candidate, TARGET)


VALUES = st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.lists(st.integers(), max_size=2))
KEYS = st.sampled_from(
    ["name", "version", "marker", "wheels", "sdist", "vcs", "archive", "directory", "tool", "index"]
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_no_shape_breaks_the_reader(table):
    import json

    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    with suppress(LockRefused):
        parse_pylock(f"{HEAD}[[packages]]\n{lines}", TARGET)


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?", fullmatch=True)
PACKAGES = st.builds(
    lambda name, number, size, index, digest: LockedPackage(
        name, f"{number}.0", f"{name.replace('-', '_')}-{number}.0-py3-none-any.whl",
        f"https://x.example/a%20b/{number}", digest, size, index,
    ),
    NAMES, st.integers(0, 99), st.none() | st.integers(0, 2**40), st.none() | NAMES,
    st.text("0123456789abcdef", min_size=64, max_size=64),
)  # fmt: skip


@given(st.lists(PACKAGES, max_size=5, unique_by=lambda one: one.name))
def test_what_is_written_is_read_again_and_equal_locks_are_equal_bytes(packages):
    ordered = tuple(sorted(packages, key=lambda one: one.name))
    text = write_pylock(packages, TARGET)
    assert text == write_pylock(reversed(packages), TARGET)
    assert parse_pylock(text, TARGET) == ordered
    lock = Lock(text, ordered, "cpu", "525.60.13", ("a note",))
    assert Lock.from_json(lock.to_json()) == lock


@given(st.text(max_size=60))
def test_no_file_name_breaks_the_choice(name):
    rank(name, TARGET)
    rank(f"{name}.whl", TARGET)


def test_requirements_are_pinned_lines_with_hashes():
    lock = Lock("", (LockedPackage("one", "1.0", "one-1.0-py3-none-any.whl", "https://x", "a" * 64),))
    assert lock.requirements() == f"one==1.0 --hash=sha256:{'a' * 64}\n"


def test_the_key_follows_everything_a_lock_is_resolved_from():
    made = plan(MemoryTree({"main.py": "import yaml"}), PlanRequest(entry="main.py"))
    key = lock_key(made, TARGET, "cpu")
    corp = Index(name="corp", url="https://x/simple", secret="A")
    others = [
        lock_key(made, TARGET, "cu130"),
        lock_key(made, replace(TARGET, python="3.12"), "cpu"),
        lock_key(made, replace(TARGET, platform="linux/arm64"), "cpu"),
        lock_key(made, replace(TARGET, glibc=(2, 28)), "cpu"),
        lock_key(replace(made, constraints=("x<2",)), TARGET, "cpu"),
        lock_key(replace(made, requirements=()), TARGET, "cpu"),
        lock_key(replace(made, locked="sha256:1"), TARGET, "cpu"),
        lock_key(replace(made, indexes=(corp,)), TARGET, "cpu"),
        lock_key(replace(made, indexes=(replace(corp, url="https://y/simple"),)), TARGET, "cpu"),
    ]
    assert len({key, *others}) == len(others) + 1
    assert lock_key(replace(made, command=("python", "other.py")), TARGET, "cpu") == key
