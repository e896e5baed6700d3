"""Programs that take more than there is, and deaths of parts: the worker lives on and names the cause."""

import itertools
import os
import signal
import time

import psutil
import pytest

from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker, Worker, gone

pytestmark = BOTH_WAYS

GREEDY = "block = bytearray(400_000_000)\nfor n in range(0, len(block), 4096): block[n] = 1\n"
CGROUPS = os.access("/sys/fs/cgroup/memory", os.W_OK) and os.access("/sys/fs/cgroup/pids", os.W_OK)
root = pytest.mark.skipif(not CGROUPS, reason="limits of memory and processes need control groups")


@root
def test_a_program_over_its_memory_is_named_with_the_counter(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(GREEDY, resources={"memory_bytes": 200_000_000})

    cause = given.result["cause"]
    assert (cause["code"], given.result["signal"]) == ("oom", signal.SIGKILL)
    assert any("oom_kill 0 -> 1" in line and "limit 200000000" in line for line in cause["evidence"])


@root
@pytest.mark.parametrize("survives", [True, False])
def test_a_child_over_its_memory_is_named_unless_the_program_gets_over_it(
    platform: PlatformForWorkers, worker: Worker, *, survives: bool
) -> None:
    given = platform.give(
        f"import os, sys\nif (pid := os.fork()) == 0:\n    {GREEDY.replace(chr(10), chr(10) + '    ')}\n"
        "    os._exit(0)\n"
        "_, status = os.waitpid(pid, 0)\n"
        f"print('a worker of the pool died', status, file=sys.stderr)\nsys.exit({0 if survives else 137})\n",
        resources={"memory_bytes": 200_000_000},
    )

    assert given.result["exit_code"] == (0 if survives else 137)
    cause = given.result["cause"]
    if survives:
        assert cause is None
    else:
        assert cause["code"] == "oom"
        assert any("oom_kill 0 -> 1" in line for line in cause["evidence"])
        assert cause["evidence"][-1] == f"a worker of the pool died {signal.SIGKILL.value}"


def test_an_exit_code_that_looks_like_a_kill_is_none(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give("raise SystemExit(137)")

    assert given.result["cause"]["code"] == "user_exit"


@root
def test_a_fork_bomb_meets_its_limit_and_the_worker_beats_on(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    start_worker(CYNTHUS_WORKER_PROCESSES="100")
    given = platform.give(
        "import os, time\n"
        "end = time.monotonic() + 3\n"
        "refused = 0\n"
        "while time.monotonic() < end:\n"
        "    try:\n        os.fork()\n    except OSError:\n        refused += 1\n        time.sleep(0.01)\n"
        "print('refused' if refused else 'never', flush=True)\n",
        lease_s=3.0,
        next_beat_s=0.3,
    )

    assert given.result["exit_code"] == 0
    assert b"refused" in given.text()
    gaps = [later - sooner for sooner, later in itertools.pairwise(given.beaten_at)]
    assert max(gaps) < 1.5
    assert platform.give("print('next')").result["exit_code"] == 0


def test_a_program_that_was_killed_is_reported_with_its_last_words(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(
        "import os, sys, time\nprint('about to', file=sys.stderr, flush=True)\n"
        "print(os.getpid(), 'ready', flush=True)\ntime.sleep(1000)\n"
    )
    given.wait_for_text(b"ready")
    program = next(process for process in worker.below_the_supervisor if process.name() == "python")

    begun = time.monotonic()
    program.kill()

    assert given.result["signal"] == signal.SIGKILL
    assert given.result["cause"]["code"] == "signal"
    assert given.result["cause"]["evidence"][-1] == "about to"
    assert given.finished_at - begun < 2.0


def test_nothing_of_a_killed_worker_is_left(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        break\n"
        "os.write(1, b'ready\\n')\ntime.sleep(1000)\n"
    )
    given.wait_for_text(b"ready\nready\nready\nready\n")
    left = worker.below_the_supervisor
    name = f"cynthus-{given.order['run_id']}-1-{worker.process.pid}"

    worker.kill()

    _, alive = psutil.wait_procs(left, 10)
    assert [process for process in alive if not gone(process.pid)] == []
    groups = [f"/sys/fs/cgroup/{kind}" for kind in ("memory", "pids")]
    assert not [path for group in groups for path, folders, _ in os.walk(group) if name in folders]
