"""Heartbeats go on whatever the user's program does, and a lease is over when it is over."""

import itertools
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.fixtures.platform_for_workers import Given, PlatformForWorkers
from tests.integration.worker.conftest import StartWorker, Worker, gone

LEASE_S = 3.0
BURNING = (
    "import os, time\n"
    "for _ in range(15):\n    if os.fork() == 0:\n        break\n"
    "end = time.monotonic() + 6\nwhile time.monotonic() < end: pass\n"
)
HOLDING_ITS_LOCK = (
    "import time\nprint('ready', flush=True)\nend = time.monotonic() + 5\n"
    "while time.monotonic() < end: sum(range(40_000_000))\n"
)
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\nwhile True: pass\n"
)
FOREVER = "import os, time\nprint(os.getpid(), 'ready', flush=True)\nwhile True: time.sleep(0.05)\n"


def longest_gap(given: Given) -> float:
    times = [given.started_at, *given.beaten_at]
    return max(later - sooner for sooner, later in itertools.pairwise(times))


@pytest.mark.parametrize("script", [BURNING, HOLDING_ITS_LOCK], ids=["burning", "holding its lock"])
def test_a_busy_program_does_not_starve_the_heartbeat(
    platform: PlatformForWorkers, worker: Worker, script: str
) -> None:
    given = platform.give(script, lease_s=LEASE_S, next_beat_s=0.5)

    assert given.result["exit_code"] == 0
    assert len(given.beaten_at) >= 6
    assert longest_gap(given) < LEASE_S / 2


def test_beats_go_on_while_a_program_is_being_stopped(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(STUBBORN, lease_s=LEASE_S, next_beat_s=0.5, grace_s=4.0)
    given.wait_for_text(b"ready")
    given.stop = "cancelled"

    assert given.result["cause"]["code"] == "cancelled"
    assert longest_gap(given) < LEASE_S / 2


def test_a_program_goes_before_its_worker_where_memory_gets_short(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give("print(open('/proc/self/oom_score_adj').read(), open('/proc/self/stat').read())")

    assert given.result["exit_code"] == 0
    score, *fields = given.text().split()
    assert int(score) > int(Path(f"/proc/{worker.process.pid}/oom_score_adj").read_text())
    session = int(fields[5])
    assert session != os.getsid(worker.process.pid)


def test_a_program_of_a_stopped_worker_ends_with_its_lease(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    """The worker hangs for longer than its lease; its supervisor keeps the time as well."""
    given = platform.give(FOREVER, lease_s=LEASE_S, next_beat_s=0.3)
    given.wait_for_text(b"ready")
    pid = int(given.text().split()[0])

    worker.process.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    try:
        while not gone(pid):
            assert time.monotonic() - stopped_at < LEASE_S
            time.sleep(0.02)
        time.sleep(max(0.0, LEASE_S - (time.monotonic() - stopped_at)))
        said = len(given.beats), len(given.chunks)
    finally:
        worker.process.send_signal(signal.SIGCONT)

    assert platform.give("print('next')").result["exit_code"] == 0
    assert not given.finished
    assert not given.exited
    assert (len(given.beats), len(given.chunks)) == said


def test_whoever_was_frozen_with_its_program_looks_at_the_clock_first(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    """As when a whole machine stands still: the program is ended before anything it wrote is sent."""
    given = platform.give(
        "import time\nprint('ready', flush=True)\n"
        "n = 0\nwhile True:\n    n += 1\n    print(n, flush=True)\n    time.sleep(0.01)\n",
        lease_s=LEASE_S,
        next_beat_s=0.3,
    )
    given.wait_for_text(b"20\n")
    frozen = [psutil.Process(worker.process.pid), *worker.tree]

    for process in frozen:
        process.suspend()
    time.sleep(0.3)
    beats, chunks = len(given.beats), len(given.chunks)
    time.sleep(LEASE_S)
    for process in frozen:
        with suppress(psutil.NoSuchProcess):  # the first to wake ends the others
            process.resume()

    assert platform.give("print('next')").result["exit_code"] == 0
    assert gone(frozen[-1].pid)
    assert not given.finished
    assert (len(given.beats), len(given.chunks)) == (beats, chunks)


@pytest.mark.parametrize("fenced", [False, True], ids=["still ours", "taken away"])
def test_an_order_that_waited_in_a_frozen_worker_is_asked_about_before_anything_runs(
    platform: PlatformForWorkers,
    worker: Worker,
    fenced: bool,
) -> None:
    """Its lease began when it was given, not when somebody woke up and read it."""
    polls = platform.polls
    while platform.polls == polls:
        assert worker.process.poll() is None
        time.sleep(0.005)
    worker.process.send_signal(signal.SIGSTOP)
    try:
        given = platform.give("print('ran')", lease_s=LEASE_S, next_beat_s=0.3)
        assert given.taken.wait(10)
        time.sleep(LEASE_S)
        given.fenced = fenced
    finally:
        worker.process.send_signal(signal.SIGCONT)

    assert platform.give("print('next')").result["exit_code"] == 0
    run = given.order["run_id"]
    said = [path.rsplit("/", 1)[-1] for _, path in platform.requests if f"/{run}/1/" in path]
    assert said[0] == "heartbeat"
    assert ("started" in said) is not fenced
    assert bool(given.finished) is not fenced


def test_a_short_freeze_loses_nothing(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(
        "import time\nfor n in range(20):\n    print(n, flush=True)\n    time.sleep(0.1)\n",
        lease_s=6.0,
        next_beat_s=0.3,
    )
    given.wait_for_text(b"3\n")

    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    worker.process.send_signal(signal.SIGCONT)

    assert given.result["exit_code"] == 0
    assert given.text() == "".join(f"{n}\n" for n in range(20)).encode()


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 400 * 86400.0])
def test_a_wall_clock_that_jumps_changes_no_lease(
    platform: PlatformForWorkers, start_worker: StartWorker, tmp_path: Path, jump_s: float
) -> None:
    """The worker's `time.time` jumps in the middle: neither an early end nor a late one."""
    jump, place = tmp_path / "jump", tmp_path / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(
        "import os, time\nreal = time.time\n"
        f"time.time = lambda: real() + ({jump_s} if os.path.exists({str(jump)!r}) else 0)\n"
    )
    start_worker(PYTHONPATH=str(place))
    steady = platform.give("import time\nprint('ready', flush=True)\ntime.sleep(3)\n", lease_s=LEASE_S)
    steady.wait_for_text(b"ready")
    jump.touch()
    assert steady.result["exit_code"] == 0

    lost = platform.give(FOREVER, lease_s=LEASE_S, next_beat_s=0.3)
    lost.wait_for_text(b"ready")
    pid = int(lost.text().split()[0])
    jump.unlink()
    last = threading.Event()
    platform.away = True
    begun = time.monotonic()
    while not gone(pid):
        assert time.monotonic() - begun < LEASE_S
        last.wait(0.02)
    assert time.monotonic() - begun > LEASE_S / 3
    platform.away = False
