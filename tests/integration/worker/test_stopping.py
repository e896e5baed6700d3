import signal
import time

from tests.fixtures.platform_for_workers import Fault, PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker, Worker, gone

pytestmark = BOTH_WAYS

STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: print('not me', flush=True))\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(0.1)\n"
)
POLITE = (
    "import signal, sys, time\n"
    "def leave(*_):\n    open('outputs/saved', 'w').write('state')\n    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, leave)\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(0.1)\n"
)


def test_a_cancelled_program_is_asked_first(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(POLITE)
    given.wait_for_text(b"ready")
    given.stop = "cancelled"

    assert given.result["cause"]["code"] == "cancelled"
    assert given.result["exit_code"] == 0
    assert platform.outputs(given) == {"saved": b"state"}


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(STUBBORN, grace_s=0.5)
    given.wait_for_text(b"ready")
    given.stop = "cancelled"

    assert given.result["cause"]["code"] == "cancelled"
    assert given.result["signal"] == signal.SIGKILL
    assert b"not me" in given.text()


def test_a_program_over_its_time_is_stopped(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(STUBBORN, timeout_s=0.7, grace_s=0.3)

    result = given.result

    assert result["cause"]["code"] == "timeout"
    assert "0.7 s" in result["cause"]["message"]
    assert 0.9 < result["seconds"] < 5


def test_all_processes_of_a_stopped_program_end(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(
        "import os, time\n"
        "def spawn():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os.setsid()\n"
        "        time.sleep(1000)\n"
        "    return pid\n"
        "print(*[spawn() for _ in range(3)], 'ready', flush=True)\n"
        "time.sleep(1000)\n"
    )
    given.wait_for_text(b"ready")
    running = worker.below_the_supervisor
    given.stop = "cancelled"

    assert given.result["cause"]["code"] == "cancelled"
    assert len(running) >= 4
    assert all(gone(process.pid) for process in running)


def test_a_cancel_while_things_are_made_ready_ends_the_attempt(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    platform.faults.append(Fault("/v1/blobs", "503", times=1000))
    given = platform.give("print(1)")
    given.stop = "cancelled"
    start_worker()

    assert given.result["cause"]["code"] == "cancelled"
    assert not given.started


def test_a_killed_supervisor_ends_the_attempt_and_the_worker(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give("import time\nprint('ready', flush=True)\ntime.sleep(1000)\n")
    given.wait_for_text(b"ready")
    supervisor, *running = worker.tree

    supervisor.kill()

    assert given.result["cause"]["code"] == "worker_failed"
    assert worker.process.wait(10) == 0
    assert all(gone(process.pid) for process in running)


def test_a_program_may_try_to_kill_its_supervisor(
    platform: PlatformForWorkers, worker: Worker, sandbox: str
) -> None:
    given = platform.give("import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(0.3)\n")

    cause = given.result["cause"]
    assert (cause and cause["code"]) == ("worker_failed" if sandbox == "off" else None)


def test_a_worker_told_to_leave_stops_its_program_and_reports(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(POLITE)
    given.wait_for_text(b"ready")

    assert worker.end() == 0
    assert given.result["cause"]["code"] == "preempted"
    assert platform.outputs(given) == {"saved": b"state"}


def test_an_idle_worker_leaves_at_once(platform: PlatformForWorkers, worker: Worker) -> None:
    assert platform.greeted.wait(10)
    begun = time.monotonic()

    assert worker.end() == 0
    assert time.monotonic() - begun < 0.5


def test_a_worker_that_is_not_wanted_leaves(platform: PlatformForWorkers, worker: Worker) -> None:
    assert platform.greeted.wait(10)
    platform.gone = True

    assert worker.process.wait(10) == 0


def test_a_worker_with_a_refused_token_leaves(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    worker = start_worker(CYNTHUS_WORKER_TOKEN="forged")

    assert worker.process.wait(10) == 1
    assert "401" in worker.log.read_text()
    assert "forged" not in worker.log.read_text()


def test_a_worker_says_what_it_needs_to_start(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    worker = start_worker(CYNTHUS_WORKER_TOKEN="")

    assert worker.process.wait(10) == 2
    assert "set CYNTHUS_WORKER_URL" in worker.log.read_text()
