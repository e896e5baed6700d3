"""A worker that is killed is replaced at once by one that reports what became of its attempt."""

import time

from tests.fixtures.platform_for_workers import Fault, PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, Worker, gone, wait_for, workers_of

pytestmark = BOTH_WAYS
TALKING = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n    os.setsid()\n    print(os.getpid(), flush=True)\n    time.sleep(1000)\n"
    "time.sleep(0.1)\nprint('ready', flush=True)\n"
    "for n in range(100000): print(n, flush=True)\n"
    "print('said', flush=True)\ntime.sleep(1000)\n"
)


def kill_agent(worker: Worker) -> None:
    (agent,) = workers_of(worker.home)
    wait_for(lambda: any(child.name().startswith("cynthus-supervi") for child in agent.children()))
    agent.kill()
    wait_for(lambda: [one for one in workers_of(worker.home) if one.pid != agent.pid])


def test_a_program_dies_with_its_worker_and_the_next_worker_says_so(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(TALKING, lease_s=60.0)
    given.wait_for_text(b"said")
    below = [process.pid for process in worker.below_the_supervisor]

    begun = time.monotonic()
    kill_agent(worker)

    assert given.result["cause"]["code"] == "worker_failed"
    assert given.result["cause"]["message"] == "the worker was killed, and the program with it"
    assert given.finished_at - begun < given.order["lease_s"] / 4
    assert below
    assert all(map(gone, below))
    assert given.text().split()[1:] == [b"ready", *(b"%d" % n for n in range(100000)), b"said"]


def test_output_that_was_not_sent_yet_is_sent_by_the_next_worker(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    given = platform.give(TALKING)
    given.wait_for_text(b"ready")
    platform.faults.append(Fault("/logs", "503", times=10_000))
    wait_for(lambda: b"said" in (worker.home / f"runs/{given.order['run_id']}/1/stdout.log").read_bytes())

    kill_agent(worker)
    platform.faults.clear()

    assert given.result["cause"]["code"] == "worker_failed"
    assert given.text().split()[1:] == [b"ready", *(b"%d" % n for n in range(100000)), b"said"]


def test_a_program_that_had_ended_is_reported_as_it_ended(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    platform.faults.append(Fault("/finished", "503", times=10_000))
    given = platform.give("open('outputs/one', 'w').write('1')\nprint('all')\nraise SystemExit(3)\n")
    wait_for(lambda: any(path.endswith("/finished") for _, path in platform.requests))

    kill_agent(worker)
    platform.faults.clear()

    assert (given.result["exit_code"], given.result["cause"]["code"]) == (3, "user_exit")
    assert given.text() == b"all\n"
    assert platform.outputs(given) == {"one": b"1"}
    assert len(given.started) <= 2


def test_an_attempt_that_was_being_made_ready_is_given_up(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    platform.faults.append(Fault("/v1/blobs", "503", times=1000))
    given = platform.give("print(1)")
    wait_for(lambda: any("/v1/blobs" in path for _, path in platform.requests))

    kill_agent(worker)

    assert given.result["cause"]["message"] == "the worker was killed before the program began"
    assert not given.started


def test_an_idle_worker_is_replaced_too(platform: PlatformForWorkers, worker: Worker) -> None:
    assert platform.idle.wait(10)

    kill_agent(worker)

    assert platform.give("print('next')").result["exit_code"] == 0
    assert len({hello["boot"] for hello in platform.hellos}) == 1


def test_a_worker_that_dies_again_and_again_is_given_up(platform: PlatformForWorkers, worker: Worker) -> None:
    assert platform.idle.wait(10)
    for _ in range(5):
        kill_agent(worker)
    (last,) = workers_of(worker.home)
    wait_for(lambda: any(child.name().startswith("cynthus-supervi") for child in last.children()))
    (keeper,) = last.children()

    last.kill()

    wait_for(lambda: all(gone(one.pid) for one in [last, keeper]))
    assert not workers_of(worker.home)


def test_the_next_worker_goes_on_working(platform: PlatformForWorkers, worker: Worker) -> None:
    platform.give(TALKING).wait_for_text(b"ready")

    kill_agent(worker)

    assert platform.give("print('next')").result["exit_code"] == 0
    assert len({hello["boot"] for hello in platform.hellos}) == 1
    assert len(workers_of(worker.home)) == 1
