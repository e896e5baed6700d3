"""A worker whose home is a tiny file system: each stage that does not fit is named, and the end reported."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.layer_files import VENV, layer
from tests.fixtures.platform_for_workers import Given, PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker

MIB = 1024 * 1024
pytestmark = [
    BOTH_WAYS,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system"),
]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A home of 40 MiB."""
    home = tmp_path / "small"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", home], check=True)
    yield home
    subprocess.run(["umount", "-l", home], check=True)


@pytest.fixture
def fill(small: Path) -> Callable[[int], None]:
    """Leave so many bytes free."""

    def leave(free: int) -> None:
        status = os.statvfs(small)
        size = status.f_bavail * status.f_frsize - free
        if size > 0:
            with (small / "filler").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    return leave


def cause(given: Given) -> tuple[str, str]:
    found = given.result["cause"]
    return found["code"], found["message"]


@pytest.mark.parametrize("stage", ["project", "data", "checkpoint"])
def test_what_does_not_fit_before_the_start_is_named(
    platform: PlatformForWorkers, start_worker: StartWorker, small: Path, stage: str
) -> None:
    start_worker(home=str(small))
    large = {"large": os.urandom(36 * MIB)}
    more = {
        "project": {"files": large},
        "data": {"data": [{"mount": "data", "manifest": platform.snapshot(large)}]},
        "checkpoint": {"checkpoint": platform.snapshot(large)},
    }[stage]

    given = platform.give("print('never')", **more)

    assert cause(given) == (
        "disk_full",
        f"the machine's disk is full: there is no room for the {stage}",
    )
    assert not given.started
    assert platform.give("print('next')").result["exit_code"] == 0


def test_an_image_that_does_not_fit_is_named(
    platform: PlatformForWorkers, start_worker: StartWorker, small: Path
) -> None:
    start_worker(home=str(small))
    large = layer({"lib/python3.11/site-packages/large": os.urandom(36 * MIB)})
    given = platform.give("print('never')", VENV, large)

    assert cause(given) == ("disk_full", "the machine's disk is full: there is no room for the image")


def test_a_disk_that_is_full_already_is_reported(
    platform: PlatformForWorkers, start_worker: StartWorker, small: Path, fill: Callable[[int], None]
) -> None:
    start_worker(home=str(small))
    assert platform.give("print(1)").result["exit_code"] == 0
    fill(0)

    assert cause(platform.give("print('never')"))[0] == "disk_full"
    (small / "filler").unlink()
    assert platform.give("print('next')").result["exit_code"] == 0


def test_a_program_that_fills_the_disk_is_told_so_and_its_end_reported(
    platform: PlatformForWorkers, start_worker: StartWorker, small: Path
) -> None:
    start_worker(home=str(small))
    given = platform.give(
        "import sys\nprint('begin', flush=True)\n"
        "try:\n    file = open('big', 'wb', buffering=0)\n"
        "    while True: file.write(bytes(1 << 20))\n"
        "except OSError:\n    print('full', flush=True)\n    sys.exit(4)\n"
    )

    assert cause(given) == ("disk_full", "the disk was full while the program ran")
    assert given.result["exit_code"] == 4
    assert given.text() == b"begin\nfull\n"


def test_a_log_that_does_not_fit_ends_where_the_disk_did(
    platform: PlatformForWorkers, start_worker: StartWorker, small: Path
) -> None:
    """The platform takes no chunk for a while, so all of it has to be kept here."""
    start_worker(home=str(small))
    given = platform.give(
        "import os, sys, time\nopen('outputs/a', 'w').write('kept')\n"
        "print('ready', flush=True)\ntime.sleep(1)\n"
        "line = bytes(range(32, 127)) + b'\\n'\n"
        "while True: os.write(1, line * 1000)\n",
        grace_s=1.0,
    )
    given.wait_for_text(b"ready")
    platform.logs_answered_after_s = 0.5
    while not given.exited:
        time.sleep(0.05)
    platform.logs_answered_after_s = 0.0

    assert cause(given) == ("disk_full", "the machine's disk is full: there is no room for the program's log")
    line = bytes(range(32, 127)) + b"\n"
    written = given.text().removeprefix(b"ready\n")
    assert len(written) > 10 * MIB
    assert written == (line * (len(written) // len(line) + 1))[: len(written)]
    assert platform.outputs(given) == {"a": b"kept"}


def test_outputs_and_checkpoint_are_saved_from_a_full_disk(
    platform: PlatformForWorkers, start_worker: StartWorker, small: Path
) -> None:
    start_worker(home=str(small))
    given = platform.give(
        "import os, sys\nprint('begin', flush=True)\n"
        "open(os.environ['CYNTHUS_CHECKPOINT_DIR'] + '/state', 'wb').write(bytes(range(256)) * 4000)\n"
        "file = open('outputs/big', 'wb', buffering=0)\n"
        "try:\n    while True: file.write(bytes(1 << 16))\n"
        "except OSError: sys.exit(4)\n"
    )

    assert cause(given)[0] == "disk_full"
    assert given.result["exit_code"] == 4
    big = platform.outputs(given)["big"]
    assert len(big) > 10 * MIB
    state = platform.files(given.wait_for_checkpoint()["manifest"])["state"]
    assert state == bytes(range(256)) * 4000
