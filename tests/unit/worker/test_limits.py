"""Both layouts of control groups, as folders that look like them, and what the kernel's log says."""

import os
import time
from pathlib import Path

import pytest

from cynthus.worker.kernel_log import KernelLog
from cynthus.worker.memory import Limits, Places, remove_left

FIRST = "4:memory:/own\n8:pids:/\n0::/\n"
SECOND = "0::/own.service\n"
KILLED = (
    "6,900,1234,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
    "oom_memcg=/own/{group},task_memcg=/own/{group},task=python,pid={pid},uid=1000\n"
    "3,901,1235,-;Memory cgroup out of memory: Killed process {pid} (python) total-vm:9kB, anon-rss:8kB\n"
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for folder in ("cgroups/memory/own", "cgroups/pids", "cgroups/own.service", "proc/self"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 1\noom_kill 3\n")
    (tmp_path / "log").write_text(KILLED.format(pid=7, group="old"))
    return Places(str(tmp_path / "cgroups"), str(tmp_path / "proc"), str(tmp_path / "log"))


def told(places: Places, version: str) -> None:
    (Path(places.proc) / "self/cgroup").write_text(version)


@pytest.fixture
def files_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the kernel's own file systems: a new folder has its files at once."""
    make = os.mkdir

    def mkdir(path: str, mode: int = 0o777) -> None:
        make(path, mode)
        if not str(path).endswith("/run-1"):
            return
        kinds = ("memory",) if "/memory/" in path else ("pids",) if "/pids/" in path else ("memory2", "pids")
        files = {
            "memory": {"memory.limit_in_bytes": "", "memory.oom_control": "oom_kill_disable 0\noom_kill 0\n"},
            "memory2": {"memory.max": "", "memory.swap.max": "", "memory.events": "oom 0\noom_kill 0\n"},
            "pids": {"pids.max": ""},
        }
        for kind in kinds:
            for name, content in files[kind].items():
                Path(path, name).write_text(content)

    monkeypatch.setattr(os, "mkdir", mkdir)


@pytest.mark.usefixtures("files_appear")
def test_in_the_first_layout_each_controller_has_a_folder(places: Places) -> None:
    told(places, FIRST)

    limits = Limits("run-1", 1000, 50, places)

    memory, pids = (Path(folder) for folder in limits.cgroups)
    assert memory == Path(places.cgroups, "memory/own/run-1")
    assert (memory / "memory.limit_in_bytes").read_text() == "1000"
    assert pids == Path(places.cgroups, "pids/run-1")
    assert (pids / "pids.max").read_text() == "50"
    assert limits.each_process_bytes is None
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert limits.kills() == (2, ("memory.oom_control: oom_kill 0 -> 2 (limit 1000 bytes)",), True)


@pytest.mark.usefixtures("files_appear")
def test_in_the_second_layout_there_is_one_folder(places: Places) -> None:
    told(places, SECOND)

    limits = Limits("run-1", 1000, 50, places)

    (folder,) = (Path(name) for name in limits.cgroups)
    assert folder == Path(places.cgroups, "own.service/run-1")
    assert [(folder / f"{name}.max").read_text() for name in ("memory", "memory.swap", "pids")] == [
        "1000",
        "0",
        "50",
    ]
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n")
    assert limits.kills() == (1, ("memory.events: oom_kill 0 -> 1 (limit 1000 bytes)",), True)


@pytest.mark.usefixtures("files_appear")
@pytest.mark.parametrize("version", [FIRST, SECOND])
def test_what_was_killed_elsewhere_on_the_host_is_not_this_programs(places: Places, version: str) -> None:
    told(places, version)
    limits = Limits("run-1", 1000, 50, places)
    Path(places.proc, "vmstat").write_text("oom_kill 4\n")
    assert limits.kills().number == 0


@pytest.mark.parametrize("version", [FIRST, SECOND, ""])
def test_where_no_group_can_be_made_each_process_has_a_limit(places: Places, version: str) -> None:
    told(places, version)

    limits = Limits("run-1", 1000, 50, places)

    assert (limits.each_process_bytes, limits.cgroups) == (1000, [])
    assert limits.kills().number == 0
    Path(places.proc, "vmstat").write_text("oom_kill 4\n")
    assert limits.kills() == (1, ("vmstat: oom_kill 3 -> 4",), False)


@pytest.mark.parametrize(
    ("version", "parent"), [(FIRST, "memory/own"), (FIRST, "pids"), (SECOND, "own.service")]
)
def test_groups_that_a_killed_worker_left_are_removed(
    places: Places, version: str, parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(places, version)
    (Path(places.proc) / "77").mkdir()
    names = ["cynthus-run_1-1-77", "cynthus-run_1-1-78", "cynthus-run_2-1-78", "another-78"]
    for name in names:
        Path(places.cgroups, parent, name).mkdir()
    (Path(places.cgroups, parent, "cynthus-run_2-1-78") / "in-use").touch()
    remove_left(places)
    assert {path.name for path in Path(places.cgroups, parent).iterdir()} >= set(names)

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    remove_left(places)

    left = {path.name for path in Path(places.cgroups, parent).iterdir()}
    assert set(names) - left == {"cynthus-run_1-1-78"}


def test_the_kernels_log_names_whom_it_killed(places: Places) -> None:
    told(places, "")
    limits = Limits("run-1", None, None, places)
    with Path(places.log).open("a") as log:
        log.write(KILLED.format(pid=41, group="another") + KILLED.format(pid=42, group="another"))

    number, (said,), ours = limits.kills([42])

    assert (number, ours) == (1, True)
    assert "Killed process 42 (python)" in said


def test_a_child_that_was_never_seen_is_known_by_its_group(places: Places) -> None:
    log = KernelLog(places.log)
    with Path(places.log).open("a") as file:
        file.write(KILLED.format(pid=77, group="run-1") + KILLED.format(pid=78, group="run-12"))

    (said,) = log.killed([], "run-1")

    assert "Killed process 77" in said
    log.close()


def test_what_was_in_the_log_before_is_not_ours(places: Places) -> None:
    assert KernelLog(places.log).killed([7], "old") == ()


def test_a_log_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert KernelLog(str(tmp_path / "none")).killed([7], "old") == ()
