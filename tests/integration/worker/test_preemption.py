import signal
import time
from collections.abc import Iterator

import pytest

from tests.fixtures.metadata import Metadata, metadata_server
from tests.fixtures.platform_for_workers import MACHINE_TOKEN, Fault, PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker, Worker

pytestmark = BOTH_WAYS

SAVES_WHEN_ASKED = """
import os, signal, sys, time
def leave(*_):
    open(os.environ['CYNTHUS_CHECKPOINT_DIR'] + '/state', 'w').write('epoch 7')
    open('outputs/so-far', 'w').write('half')
    print('saved', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
print('ready', flush=True)
while True: time.sleep(0.1)
"""
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\nwhile True: time.sleep(0.1)\n"
)


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with metadata_server(failing=2) as served:
        yield served


def test_a_notice_saves_the_checkpoint_first_then_the_rest(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(SAVES_WHEN_ASKED)
    given.wait_for_text(b"ready\n")

    worker.process.send_signal(signal.SIGTERM)

    cause = given.result["cause"]
    assert cause["code"] == "preempted"
    assert "notice: SIGTERM, 25 s before the end" in cause["evidence"][1]
    assert cause["evidence"][0] == "checkpoint saved: 1 files, 7 bytes"
    assert platform.files(given.checkpoints[0]["manifest"]) == {"state": b"epoch 7"}
    assert platform.outputs(given) == {"so-far": b"half"}
    assert given.text() == b"ready\nsaved\n"
    calls = [path for method, path in platform.requests if "/v1/snapshots/" in path or "checkpoint" in path]
    outputs = f"/v1/snapshots/{given.result['outputs']}"
    assert calls.index(outputs) > next(n for n, path in enumerate(calls) if path.endswith("/checkpoint"))
    assert worker.process.wait(10) == 0


def test_a_machine_that_says_that_it_goes_is_believed(
    platform: PlatformForWorkers, start_worker: StartWorker, metadata: Metadata
) -> None:
    worker = start_worker(CYNTHUS_WORKER_NOTICE_URL=metadata.url)
    given = platform.give(SAVES_WHEN_ASKED)
    given.wait_for_text(b"ready\n")
    assert metadata.waiting.wait(20)
    assert not given.done.is_set()

    metadata.preempt()

    cause = given.result["cause"]
    assert cause["code"] == "preempted"
    assert any(metadata.url in line for line in cause["evidence"])
    assert given.checkpoints
    assert worker.process.wait(10) == 0
    assert MACHINE_TOKEN not in str(metadata.requests)


def test_an_idle_worker_leaves_when_its_machine_goes(
    platform: PlatformForWorkers, start_worker: StartWorker, metadata: Metadata
) -> None:
    worker = start_worker(CYNTHUS_WORKER_NOTICE_URL=metadata.url)
    assert platform.greeted.wait(10)
    assert metadata.waiting.wait(20)

    metadata.preempt()

    assert worker.process.wait(10) == 0


def test_no_metadata_server_is_no_trouble(platform: PlatformForWorkers, start_worker: StartWorker) -> None:
    worker = start_worker(CYNTHUS_WORKER_NOTICE_URL="http://127.0.0.1:9/none")

    assert platform.give("print(1)").result["exit_code"] == 0
    assert "127.0.0.1:9" not in worker.log.read_text()


def test_no_order_is_taken_after_a_notice(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(STUBBORN, grace_s=1.0)
    given.wait_for_text(b"ready\n")

    worker.process.send_signal(signal.SIGTERM)
    later = platform.give("print('never')")

    assert given.result["cause"]["code"] == "preempted"
    assert worker.process.wait(10) == 0
    assert not later.started
    assert not later.taken_at


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_long_grace_is_cut_to_the_time_there_is(
    platform: PlatformForWorkers, start_worker: StartWorker, *, asked_before: bool
) -> None:
    worker = start_worker(CYNTHUS_WORKER_LEAVE_S="4")
    given = platform.give(STUBBORN, grace_s=300.0)
    given.wait_for_text(b"ready\n")
    if asked_before:
        given.stop = "cancelled"
        time.sleep(1.0)

    begun = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)

    assert given.result["cause"]["code"] == ("cancelled" if asked_before else "preempted")
    assert given.result["signal"] == signal.SIGKILL
    assert given.finished_at - begun < 4


@pytest.mark.parametrize("call", ["blobs:missing", "/v1/snapshots", "/checkpoint"])
def test_a_report_does_not_wait_for_what_cannot_be_saved_in_time(
    platform: PlatformForWorkers, start_worker: StartWorker, call: str
) -> None:
    worker = start_worker(CYNTHUS_WORKER_LEAVE_S="3")
    given = platform.give(SAVES_WHEN_ASKED)
    given.wait_for_text(b"ready\n")
    platform.faults.append(Fault(call, "503", times=1000, seconds=20))

    begun = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)

    cause = given.result["cause"]
    assert given.finished_at - begun < 3
    assert cause["code"] == "preempted"
    assert "the checkpoint was not saved: there was no time" in cause["evidence"]
    assert "the outputs were not saved: there was no time" in cause["evidence"]
    assert given.result["outputs"] is None
    assert not given.checkpoints


@pytest.mark.parametrize("arrives", [False, True])
def test_a_report_does_not_wait_for_a_log_that_cannot_be_sent_in_time(
    platform: PlatformForWorkers, start_worker: StartWorker, *, arrives: bool
) -> None:
    platform.logs_may_be_cut = True
    worker = start_worker(CYNTHUS_WORKER_LEAVE_S="3")
    given = platform.give(SAVES_WHEN_ASKED)
    given.wait_for_text(b"ready\n")
    if arrives:
        platform.logs_answered_after_s = 20.0
    else:
        platform.faults.append(Fault("/logs", "503", times=1000, seconds=20))

    begun = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)

    result = given.result
    assert given.finished_at - begun < 3
    assert "the rest of the log could not be sent in time" in result["cause"]["evidence"]
    assert result["logs"]["bytes"]["stdout"] == given.size("stdout")
    assert given.checkpoints


def test_a_finished_program_whose_results_are_not_safe_has_not_succeeded(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    worker = start_worker(CYNTHUS_WORKER_LEAVE_S="3")
    platform.faults.append(Fault("blobs:missing", "503", times=1000, seconds=20))
    given = platform.give("open('outputs/a', 'w').write('a')")
    given.begun.wait(20)
    while not given.exited:
        time.sleep(0.05)

    worker.process.send_signal(signal.SIGTERM)

    assert (given.result["exit_code"], given.result["outputs"]) == (0, None)
    assert given.result["cause"]["code"] == "preempted"
    assert "finished program" in given.result["cause"]["message"]


def test_a_preparation_that_hangs_is_reported_in_time(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    worker = start_worker(CYNTHUS_WORKER_LEAVE_S="3")
    platform.faults.append(Fault("/v1/blobs", "503", times=1000, seconds=20))
    given = platform.give("print('never')")
    while not any("/v1/blobs" in path for _, path in platform.requests):
        time.sleep(0.05)

    begun = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)

    assert given.result["cause"]["code"] == "preempted"
    assert given.finished_at - begun < 3
    assert not given.started
    worker.kill()
