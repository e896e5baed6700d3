import time

import pytest

from tests.fixtures.platform_for_workers import Fault, PlatformForWorkers
from tests.integration.worker.conftest import StartWorker, Worker, gone

TICKING = "import time\nfor n in range(30):\n    print(n, flush=True)\n    time.sleep(0.1)\n"
FOREVER = "import os, time\nprint(os.getpid(), flush=True)\nprint('ready', flush=True)\ntime.sleep(1000)\n"


def test_a_run_survives_a_platform_that_is_away_for_a_while(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(TICKING)
    given.wait_for_text(b"3\n")

    platform.away = True
    assert not given.done.wait(1.5)
    platform.away = False

    assert given.result["exit_code"] == 0
    assert given.text() == "".join(f"{n}\n" for n in range(30)).encode()


def test_a_result_waits_for_a_platform_that_is_away_when_it_is_ready(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(TICKING + "open('outputs/n', 'w').write(str(n))", lease_s=1.5)
    given.wait_for_text(b"27\n")
    platform.away = True
    assert not given.done.wait(3.0)
    platform.away = False

    assert given.result["exit_code"] == 0
    assert platform.outputs(given) == {"n": b"29"}


def test_a_program_is_ended_before_its_lease_is_over(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(FOREVER, lease_s=1.5, next_beat_s=0.2)
    given.wait_for_text(b"ready")
    pid = int(given.text().split()[0])
    begun = time.monotonic()
    platform.away = True

    while not gone(pid):
        assert time.monotonic() - begun < 1.5
    platform.away = False

    assert platform.give("print('next')").result["exit_code"] == 0
    assert not given.finished
    assert len(given.started) == 1


def test_an_attempt_that_was_ended_before_the_platform_heard_of_it_is_given_back(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    """The platform offers it as one that did not begin; a program is never run twice in one epoch."""
    platform.faults.append(Fault("/1/", "cut", times=10_000))
    given = platform.give("import time\ntime.sleep(1000)\n", lease_s=1.5, next_beat_s=0.2)
    assert platform.give("print('next')", epoch=2).result["exit_code"] == 0
    platform.faults.clear()

    platform.offer_again(given)

    assert given.result["cause"]["code"] == "worker_failed"
    assert given.result["logs"]["chunks"] == 0
    assert not given.started


@pytest.mark.parametrize("call", ["heartbeat", "logs"])
def test_a_fenced_attempt_ends_without_a_word(
    platform: PlatformForWorkers, worker: Worker, call: str
) -> None:
    given = platform.give(
        FOREVER.replace("time.sleep(1000)", "while True: time.sleep(0.1); print('tick', flush=True)"),
        lease_s=120.0,
    )
    given.wait_for_text(b"ready")
    pid = int(given.text().split()[0])
    platform.faults.append(Fault(f"{given.order['run_id']}/1/{call}", "409", times=1000))

    begun = time.monotonic()
    while not gone(pid):
        assert time.monotonic() - begun < given.order["lease_s"] / 4
        time.sleep(0.05)
    assert platform.give("print('next')").result["exit_code"] == 0
    assert gone(pid)
    assert not given.finished
    assert not (worker.home / "runs" / given.order["run_id"]).exists()


@pytest.mark.parametrize("call", ["started", "heartbeat", "logs", "finished", "hello", "orders:next"])
@pytest.mark.parametrize("action", ["lose", "503"])
def test_any_lost_reply_is_asked_for_again(
    platform: PlatformForWorkers, start_worker: StartWorker, call: str, action: str
) -> None:
    if call == "orders:next":
        platform.faults.append(Fault(call, "cut" if action == "lose" else action, times=3))
    else:
        platform.faults.append(Fault(call, action, times=3))
    start_worker()
    given = platform.give("import time\nprint('a')\ntime.sleep(0.7)\nprint('b')\n")

    assert given.result["exit_code"] == 0
    assert given.text() == b"a\nb\n"


def test_content_cut_on_its_way_is_fetched_again(platform: PlatformForWorkers, worker: Worker) -> None:
    platform.faults += [Fault("blobs:get", "cut", times=2), Fault("/v1/snapshots", "503", times=2)]
    platform.faults.append(Fault("/v1/blobs/", "lose", times=2))
    big = bytes(range(256)) * 8192
    given = platform.give("print(len(open('big', 'rb').read()))", files={"big": big})

    assert given.result["exit_code"] == 0
    assert given.text() == f"{len(big)}\n".encode()


def test_uploads_cut_on_their_way_are_sent_again(platform: PlatformForWorkers, worker: Worker) -> None:
    platform.faults += [
        Fault(call, "lose", times=2) for call in ("blobs:missing", "blobs:put", "/v1/snapshots")
    ]
    given = platform.give("open('outputs/a', 'w').write('a')\nopen('outputs/b', 'w').write('b' * 2000000)")

    assert given.result["exit_code"] == 0
    assert platform.outputs(given) == {"a": b"a", "b": b"b" * 2_000_000}


def test_missing_content_is_a_named_cause(platform: PlatformForWorkers, start_worker: StartWorker) -> None:
    given = platform.give("print()")
    platform.manifests.clear()
    start_worker()

    assert given.result["cause"]["code"] == "content_missing"


def test_a_slow_end_is_announced_first(platform: PlatformForWorkers, worker: Worker) -> None:
    platform.faults.append(Fault("blobs:missing", "200x", seconds=1.5))
    given = platform.give("open('outputs/a', 'w').write('a')")

    assert given.result["exit_code"] == 0
    assert given.exited[0]["exit_code"] == 0


def test_a_quick_end_is_not_announced(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give("open('outputs/a', 'w').write('a')")

    assert given.result["exit_code"] == 0
    assert not given.exited


def test_beats_whose_answers_never_come_are_not_waited_for_until_the_lease_is_over(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(TICKING.replace("range(30)", "range(40)"), lease_s=4.5)
    platform.faults.append(Fault(f"{given.order['run_id']}/1/heartbeat", "lose", times=3, seconds=60.0))

    assert given.result["exit_code"] == 0
    assert len(given.started) == 1
