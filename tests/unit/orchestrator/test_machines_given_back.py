"""A machine that is given back may serve again, unless it, or its worker, is lost or going."""

import pytest

from cynthus.events import Cause, MachineReleased
from cynthus.orchestrator.domain.messages import CheckTime, ExpireLease, SuspectAttempt
from tests.unit.orchestrator.given import (
    BUILT,
    CANCEL,
    LIMITS,
    PINNED,
    UNBUILT,
    UNPINNED,
    after,
    deleted,
    exited,
    finished,
    ready,
    requested,
    started,
    told,
    vanished,
)

READY = [requested(retries=1), PINNED, ready()]
STARTING = [*READY, BUILT]
RUNNING = [*STARTING, started()]
UPLOADING = [*RUNNING, exited()]
STOPPING = [*RUNNING, CANCEL]
SILENT = SuspectAttempt(1, 15.0)


def ended_by(code, *, begun=True):
    cause = Cause(code=code, message="It ended.")
    return [*(RUNNING if begun else STARTING), finished(code=None, cause=cause)]


def released(messages, *, at=0.0):
    """The machine's release, once all was told and `at` seconds later the time was looked at."""
    run, history = told(messages)
    _, later = told([CheckTime()], run=run, now=after(at))
    (release,) = [event for event in [*history, *later] if isinstance(event, MachineReleased)]
    assert release.machine == "m1"
    return release


LOST = {
    "its lease ended": ([*RUNNING, ExpireLease(1)], 0),
    "its lease ended before it said anything": ([*STARTING, ExpireLease(1)], 0),
    "it went away": ([*RUNNING, vanished()], 0),
    "it was deleted": ([*UPLOADING, deleted()], 0),
    "it did not start the program in time": (STARTING, LIMITS.starting_s),
    "it did not end the program in time": (
        [requested(timeout_s=5), PINNED, ready(), BUILT, started()],
        5 + LIMITS.grace_s + LIMITS.timeout_slack_s,
    ),
    "it did not deliver in time": (UPLOADING, LIMITS.uploading_s),
    "it did not confirm a stop in time": (STOPPING, LIMITS.grace_s + LIMITS.stopping_s),
    "it was silent when its run was cancelled": ([*STARTING, SILENT, CANCEL], 0),
    "its provider takes it away": (ended_by("preempted"), 0),
    "its worker failed": (ended_by("worker_failed"), 0),
    "its engine went away": (ended_by("engine_restarted"), 0),
    "its engine does not start it": (ended_by("container_refused", begun=False), 0),
    "its disk was full before the program began": (ended_by("disk_full", begun=False), 0),
}


@pytest.mark.parametrize(("given", "at"), LOST.values(), ids=LOST.keys())
def test_a_machine_that_cannot_serve_again_is_given_back_as_lost(given, at):
    assert released(given, at=at).lost


GOOD = {
    "success": [*RUNNING, finished()],
    "the program failed": [*RUNNING, finished(code=3)],
    "the program filled the disk": ended_by("disk_full"),
    "it could not reach the registry": ended_by("registry_unreachable", begun=False),
    "its worker stopped the program": [*STOPPING, finished(code=None, signal=15)],
    "its worker was silent for a while": [*RUNNING, SILENT, finished()],
    "cancelled before it was used": [*STARTING, CANCEL],
    "nothing to run": [requested(data=False), ready(), UNBUILT],
    "no data": [requested(), ready(), UNPINNED],
}


@pytest.mark.parametrize("given", GOOD.values(), ids=GOOD.keys())
def test_a_machine_whose_worker_answered_may_serve_again(given):
    assert not released(given).lost


def test_each_attempt_gives_back_its_own_machine():
    both = [*RUNNING, ExpireLease(1), ready(2, "m2"), started(2, "m2"), finished(2, "m2")]
    _, history = told(both)
    releases = [event for event in history if isinstance(event, MachineReleased)]
    assert [(one.machine, one.lost) for one in releases] == [("m1", True), ("m2", False)]
