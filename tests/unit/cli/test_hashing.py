import hashlib
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.cli.failure import Failure
from cynthus.cli.source.hash_cache import HashCache
from cynthus.cli.source.hashing import FileChanged, Hashing, hash_file, hash_files
from cynthus.cli.source.scanning import scan_project
from cynthus.cli.source.snapshot import take
from cynthus.cli.source.tree import Found
from cynthus.snapshots.manifest import CHUNK_BYTES, decode, digest


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def old(path):
    """Make a file's times such that a later change would show."""
    past = time.time() - 10
    os.utime(path, (past, past))


def wait_until_cacheable(path):
    """The change time cannot be set; it is a tenth of a second old soon."""
    while time.time_ns() - path.stat().st_ctime_ns < 150_000_000:
        threading.Event().wait(0.02)


def snapshot(folder):
    state = Hashing()
    return take(folder, scan_project(folder), progress=state), state


def test_a_second_look_reads_nothing(project):
    for name in ("a.py", "b.py"):
        (project / name).write_text(name)
        old(project / name)
    wait_until_cacheable(project / "b.py")
    first, read = snapshot(project)
    second, again = snapshot(project)
    assert first.digest == second.digest
    assert (read.read, again.read) == (2, 0)


def test_a_changed_file_is_read_again(project):
    (project / "a.py").write_text("1")
    old(project / "a.py")
    wait_until_cacheable(project / "a.py")
    first, _ = snapshot(project)
    (project / "a.py").write_text("2")
    second, read = snapshot(project)
    assert first.digest != second.digest
    assert read.read == 1


def test_a_file_that_was_just_written_is_not_trusted(project):
    cache = HashCache(project / "cache")
    now = time.time_ns()
    young = Found("a", 1, now, now, 1, executable=False)
    cache.put(young, ("x" * 64,), now + 1000)
    cache.save()
    assert HashCache(project / "cache").get(young) is None


def test_the_cache_gives_back_what_it_was_given(tmp_path):
    @settings(max_examples=50, deadline=None)
    @given(
        path=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1),
        size=st.integers(0, 2**40),
        chunks=st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=3),
    )
    def check(path, size, chunks):
        cache = HashCache(tmp_path / "hashes")
        found = Found(path, size, 1, 1, 7, executable=False)
        cache.put(found, tuple(chunks), time.time_ns())
        cache.save()
        assert HashCache(tmp_path / "hashes").get(found) == tuple(chunks)

    check()


def test_a_damaged_cache_is_forgotten(project):
    (project / "cache").write_bytes(b"\xff\xfe nonsense")
    assert HashCache(project / "cache").get(Found("a", 1, 1, 1, 1, executable=False)) is None


def test_a_large_file_is_hashed_in_chunks(project):
    with (project / "large.bin").open("wb") as file:
        file.truncate(CHUNK_BYTES + 5)
    taken, _ = snapshot(project)
    [entry] = taken.entries
    zeros = hashlib.sha256(bytes(CHUNK_BYTES)).hexdigest()
    assert entry.chunks == (zeros, hashlib.sha256(bytes(5)).hexdigest())
    assert [piece.length for _, piece in taken.pieces()] == [CHUNK_BYTES, 5]


def test_a_file_that_never_stops_changing_is_named(project):
    path = project / "growing.log"
    path.write_bytes(bytes(32 * 1024 * 1024))
    stop = threading.Event()

    def grow():
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"x")

    writer = threading.Thread(target=grow)
    found = scan_project(project).files
    writer.start()
    try:
        with pytest.raises(Failure) as refused:
            hash_files(project, found, HashCache(project / "cache"))
    finally:
        stop.set()
        writer.join()
    assert refused.value.code == "file_changing"
    assert "growing.log" in refused.value.what


def test_a_file_that_is_gone_is_named(project):
    gone = Found("gone.txt", 1, 1, 1, 1, executable=False)
    with pytest.raises(Failure) as refused:
        hash_files(project, [gone], HashCache(project / "cache"))
    assert "gone.txt" in (refused.value.why or "")


def test_a_file_cut_short_while_it_is_read_is_a_change(project):
    (project / "a").write_text("x")
    (project / "a").unlink()
    (project / "a").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic"):
        hash_file(project, "a")
    assert issubclass(FileChanged, Exception)


def test_the_manifest_is_one_that_the_platform_accepts(project):
    (project / "z").mkdir()
    (project / "é").write_text("x")
    (project / "a b").write_text("")
    (project / "link").symlink_to("é")
    taken, _ = snapshot(project)
    lines = taken.manifest().splitlines(keepends=True)
    assert digest(lines) == taken.digest
    assert [entry.path for entry in decode(lines)] == ["a b", "link", "z", "é"]
