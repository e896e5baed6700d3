import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cynthus.worker.containers
from cynthus.worker.containers.container import gpus_of
from cynthus.worker.containers.own_folder import unpack
from cynthus.worker.containers.place import data_bind, inside
from cynthus.worker.containers.stage import read_status
from cynthus.worker.journal import Journal
from cynthus.worker.orders import OrderInvalid

FOLDER = Path(next(iter(cynthus.worker.containers.__path__)))


@pytest.mark.needs("gcc")
def test_the_first_process_is_what_its_source_says(tmp_path: Path) -> None:
    subprocess.run([FOLDER / "build.sh", tmp_path / "init"], check=True, capture_output=True)

    assert (tmp_path / "init").read_bytes() == (FOLDER / f"init-{os.uname().machine}").read_bytes()


def test_a_status_is_read() -> None:
    started = read_status(b"started\n")
    ended = read_status(
        b"started\nended 0 9 32768 2500000 1024\nfile /sys/fs/cgroup/memory.events\nlow 0\noom_kill 2\nend\n"
    )

    assert started.started
    assert started.ended is None
    assert ended.ended is not None
    assert ended.ended == (None, 9, 1 << 15, 2.5, 1024 * 1024)
    assert ended.oom_kills == 2
    assert read_status(b"failed 13 1\n").failed == (13, True)


def test_an_ending_that_is_not_written_to_its_end_is_none_yet() -> None:
    assert read_status(b"started\nended 0 0 0 1 1\nfile x\n").ended is None


@given(st.binary() | st.text().map(str.encode))
def test_whatever_a_program_writes_over_its_status_does_no_harm(data: bytes) -> None:
    read_status(data)
    read_status(b"started\nended 1 0 0 5 5\n" + data + b"\nend\n")
    assert read_status(b"oom_kill " + b"9" * 6000 + b"\nend\n").oom_kills == 0


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.integers(0, 1 << 40), st.booleans())),
)
def test_a_journal_tells_the_next_worker_where_this_one_was(
    chunks: list[tuple[str, int, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shipped: dict[str, int] = {}
        journal = Journal(folder)
        for source, until, answered in chunks:
            journal.send(source, 7)
            if answered:
                journal.accept(source, until)
                shipped[source] = until
        again = Journal(folder)

        assert again.chunks == sum(answered for *_, answered in chunks)
        assert again.shipped == shipped
        assert (again.sent is None) == (not chunks or chunks[-1][2])
        journal.close()
        again.close()


def test_a_journal_keeps_the_lease_and_the_report(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.renew(1.5)
    journal.keep_report({"exit_code": 3})
    again = Journal(str(tmp_path))

    assert (again.renewed, again.report) == (1.5, {"exit_code": 3})
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    journal.close()
    again.close()


def tar_of(*members: tuple[str, dict[str, object], bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, fields, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def test_a_working_folder_comes_out_of_its_image(tmp_path: Path) -> None:
    tar = tar_of(
        ("app/", {"type": tarfile.DIRTYPE}, b""),
        ("app/run.sh", {"mode": 0o4755}, b"#!"),
        ("app/deep/data", {"mode": 0o600}, b"x"),
        ("app/same", {"type": tarfile.LNKTYPE, "linkname": "app/deep/data"}, b""),
        ("app/link", {"type": tarfile.SYMTYPE, "linkname": "deep/data"}, b""),
        ("app/device", {"type": tarfile.CHRTYPE}, b""),
    )

    unpack(tar, str(tmp_path))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "link", "run.sh", "same"]
    assert (tmp_path / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "same").read_bytes() == (tmp_path / "link").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["app/../../x", "../x", "app/" + "d/" * 600 + "x"])
def test_a_working_folder_with_strange_paths_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OrderInvalid):
        unpack(tar_of((name, {}, b"x")), str(tmp_path))


def test_a_working_folder_never_writes_through_its_links(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "work").mkdir()
    tar = tar_of(
        ("app/place", {"type": tarfile.SYMTYPE, "linkname": str(tmp_path / "outside")}, b""),
        ("app/place/file", {}, b"x"),
    )

    with pytest.raises((OrderInvalid, OSError)):
        unpack(tar, str(tmp_path / "work"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_working_folder_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OrderInvalid):
        unpack(tar_of(("app/a", {}, b"x" * 60), ("app/b", {}, b"x" * 60)), str(tmp_path), 100)


@pytest.mark.parametrize(
    "mount", ["/data", ".", "..", "../proc/1", "../sys", "../dev/shm", "../run/cynthus/x"]
)
def test_data_has_a_place_of_its_own(tmp_path: Path, mount: str) -> None:
    with pytest.raises(OrderInvalid):
        data_bind("/data", mount, "/app", str(tmp_path))


def test_a_mount_point_is_never_made_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(tmp_path)

    with pytest.raises(OrderInvalid):
        data_bind("/data", "link/x", "/app", str(tmp_path / "work"))


def test_places_are_inside_the_project() -> None:
    assert inside("/app", "src/../outputs") == "/app/outputs"
    for outside in ("../x", "/x"):
        with pytest.raises(OrderInvalid):
            inside("/app", outside)


def test_gpus_are_counted() -> None:
    assert [gpus_of(wish) for wish in (None, "L4:2", "A100", "24GB+")] == [None, 2, 1, 1]
