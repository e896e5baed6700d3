"""Given what a run has heard, when it hears one thing more, then this follows."""

from typing import Any

import pytest

from cynthus.events import Cause
from cynthus.orchestrator.domain.decide import decide
from cynthus.orchestrator.domain.messages import CheckTime, ExpireLease, Fenced
from cynthus.orchestrator.domain.run import State
from tests.unit.orchestrator.given import (
    BUILT,
    CANCEL,
    FLAKY,
    LIMITS,
    NOON,
    PINNED,
    UNBUILT,
    UNPINNED,
    after,
    delayed,
    deleted,
    exited,
    finished,
    kinds,
    ready,
    requested,
    saved,
    started,
    told,
    unavailable,
    vanished,
)

ASKED = [requested()]
ASKED_TWICE = [requested(retries=1)]
STARTING = [*ASKED, BUILT, PINNED, ready()]
RUNNING = [*STARTING, started()]
STOPPING = [*RUNNING, CANCEL]
UPLOADING = [*RUNNING, exited()]
DONE = [*RUNNING, finished()]
CANCELLED = [*ASKED, CANCEL]
RETRIED = [*RUNNING, vanished()]
RELEASED = ["RunFailed", "MachineReleased"]
AGAIN = ["RetryScheduled", "MachineReleased", "MachineRequested"]
SEALED = ["LogsSealed", "OutputsCommitted"]

TABLE: dict[str, tuple[list[Any], Any, list[str], State]] = {
    "asked for": (
        [],
        requested(),
        ["RunRequested", "RunQueued", "MachineRequested"],
        State.BUILDING,
    ),
    "asked for twice": (ASKED, requested(), [], State.BUILDING),
    "image before the request": ([], BUILT, ["ImageBuilt"], State.QUEUED),
    "image": ([requested(data=False)], BUILT, ["ImageBuilt"], State.PROVISIONING),
    "image, data missing": (ASKED, BUILT, ["ImageBuilt"], State.BUILDING),
    "image again": ([*ASKED, BUILT], BUILT, [], State.BUILDING),
    "data": ([*ASKED, BUILT], PINNED, ["DatasetReady"], State.PROVISIONING),
    "machine before image": (ASKED, ready(), ["VMReady"], State.BUILDING),
    "machine": ([*ASKED, BUILT, PINNED], ready(), ["VMReady"], State.STARTING),
    "image comes last": ([*ASKED, PINNED, ready()], BUILT, ["ImageBuilt"], State.STARTING),
    "machine again": (STARTING, ready(), [], State.STARTING),
    "a second machine": (
        STARTING,
        ready(machine="m2"),
        ["VMReady", "MachineReleased"],
        State.STARTING,
    ),
    "machine delayed": ([*ASKED, BUILT, PINNED], delayed(), ["MachineDelayed"], State.PROVISIONING),
    "build failed": (ASKED, UNBUILT, ["BuildFailed", *RELEASED], State.FAILED),
    "build failed before the request": (
        [UNBUILT],
        requested(),
        ["RunRequested", "RunQueued", "RunFailed"],
        State.FAILED,
    ),
    "build failed for now": (ASKED, FLAKY, ["BuildFailed"], State.BUILDING),
    "build failed for good after that": (
        [*ASKED, FLAKY],
        UNBUILT,
        ["BuildFailed", *RELEASED],
        State.FAILED,
    ),
    "data failed": (ASKED, UNPINNED, ["DatasetFailed", *RELEASED], State.FAILED),
    "no machine for now": (
        ASKED,
        unavailable(transient=True),
        ["VMFailed", "RetryScheduled"],
        State.RETRYING,
    ),
    "no machine for good": (ASKED, unavailable(), ["VMFailed", "RunFailed"], State.FAILED),
    "started": (STARTING, started(), ["AttemptStarted"], State.RUNNING),
    "started again": (RUNNING, started(), [], State.RUNNING),
    "checkpoint": (RUNNING, saved(), ["CheckpointSaved"], State.RUNNING),
    "the same checkpoint": ([*RUNNING, saved()], saved(), [], State.RUNNING),
    "another checkpoint": (
        [*RUNNING, saved()],
        saved(manifest="sha256:e"),
        ["CheckpointSaved"],
        State.RUNNING,
    ),
    "checkpoint after the exit": (UPLOADING, saved(), ["CheckpointSaved"], State.UPLOADING),
    "checkpoint while being stopped": (STOPPING, saved(), ["CheckpointSaved"], State.TERMINATING),
    "checkpoint after everything was delivered": (DONE, saved(), [], State.SUCCEEDED),
    "exited": (RUNNING, exited(), ["AttemptExited"], State.UPLOADING),
    "exited again": (UPLOADING, exited(), [], State.UPLOADING),
    "exited, never started": (STARTING, exited(code=1), ["AttemptExited"], State.UPLOADING),
    "finished": (
        UPLOADING,
        finished(),
        [*SEALED, "RunSucceeded", "MachineReleased"],
        State.SUCCEEDED,
    ),
    "finished at once": (
        RUNNING,
        finished(),
        ["AttemptExited", *SEALED, "RunSucceeded", "MachineReleased"],
        State.SUCCEEDED,
    ),
    "finished again": (DONE, finished(), [], State.SUCCEEDED),
    "exit code 3": (
        RUNNING,
        finished(code=3),
        ["AttemptExited", *SEALED, *RELEASED],
        State.FAILED,
    ),
    "exit code 0 with a cause": (
        RUNNING,
        finished(cause=Cause(code="disk_full", message="The disk is full.")),
        ["AttemptExited", *SEALED, *RELEASED],
        State.FAILED,
    ),
    "exit code 3, one retry": (
        [*ASKED_TWICE, BUILT, PINNED, ready(), started()],
        finished(code=3),
        ["AttemptExited", *SEALED, *AGAIN],
        State.PROVISIONING,
    ),
    "exit code 3 again": (
        [
            *[*ASKED_TWICE, BUILT, PINNED, ready(), started(), finished(code=3)],
            *[ready(2, "m2"), started(2, "m2")],
        ],
        finished(2, "m2", code=3),
        ["AttemptExited", *SEALED, *RELEASED],
        State.FAILED,
    ),
    "first finished repeated in the second attempt": (
        [*ASKED_TWICE, BUILT, PINNED, ready(), started(), finished(code=3)],
        finished(code=3),
        [],
        State.PROVISIONING,
    ),
    "machine lost": (RUNNING, vanished(), ["VMLost", "AttemptLost", *AGAIN], State.PROVISIONING),
    "machine lost while starting": (
        STARTING,
        vanished(),
        ["VMLost", "AttemptLost", *AGAIN],
        State.PROVISIONING,
    ),
    "machine lost while uploading": (
        UPLOADING,
        vanished(),
        ["VMLost", "AttemptLost", *AGAIN],
        State.PROVISIONING,
    ),
    "machine deleted under the attempt": (
        RUNNING,
        deleted(),
        ["VMDeleted", "AttemptLost", *AGAIN],
        State.PROVISIONING,
    ),
    "machine deleted after the end": (DONE, deleted(), ["VMDeleted"], State.SUCCEEDED),
    "somebody else's machine deleted": (RUNNING, deleted("m9"), [], State.RUNNING),
    "lease expired": (RUNNING, ExpireLease(1), ["AttemptLost", *AGAIN], State.PROVISIONING),
    "lease of an old attempt expired": (RETRIED, ExpireLease(1), [], State.PROVISIONING),
    "lease expired after the end": (DONE, ExpireLease(1), [], State.SUCCEEDED),
    "machine of an old attempt": (
        RETRIED,
        ready(1, "m7"),
        ["VMReady", "MachineReleased"],
        State.PROVISIONING,
    ),
    "machine after the end": (
        [*ASKED, UNBUILT],
        ready(),
        ["VMReady", "MachineReleased"],
        State.FAILED,
    ),
    "cancelled while building": (
        ASKED,
        CANCEL,
        ["RunCancelRequested", "RunCancelled", "MachineReleased"],
        State.CANCELLED,
    ),
    "cancelled before the request": (
        [CANCEL],
        requested(),
        ["RunRequested", "RunQueued", "RunCancelled"],
        State.CANCELLED,
    ),
    "cancelled while starting": (
        STARTING,
        CANCEL,
        ["RunCancelRequested", "RunCancelled", "MachineReleased"],
        State.CANCELLED,
    ),
    "cancelled while running": (RUNNING, CANCEL, ["RunCancelRequested"], State.TERMINATING),
    "cancelled again": (STOPPING, CANCEL, [], State.TERMINATING),
    "cancelled while retrying": (
        [*ASKED, unavailable(transient=True)],
        CANCEL,
        ["RunCancelRequested", "RunCancelled"],
        State.CANCELLED,
    ),
    "cancelled after the end": (DONE, CANCEL, [], State.SUCCEEDED),
    "stopped": (
        STOPPING,
        finished(code=None, signal=15),
        ["AttemptExited", *SEALED, "RunCancelled", "MachineReleased"],
        State.CANCELLED,
    ),
    "lost while being stopped": (
        STOPPING,
        ExpireLease(1),
        ["AttemptLost", "RunCancelled", "MachineReleased"],
        State.CANCELLED,
    ),
    "image after the end": (CANCELLED, BUILT, ["ImageBuilt"], State.CANCELLED),
    "build failed after the end": (CANCELLED, UNBUILT, ["BuildFailed"], State.CANCELLED),
    "time has not come": (RUNNING, CheckTime(), [], State.RUNNING),
}


@pytest.mark.parametrize(("given", "when", "then", "state"), TABLE.values(), ids=TABLE.keys())
def test_what_follows(given, when, then, state):
    run, _ = told(given)
    assert kinds(decide(run, when, now=NOON, limits=LIMITS)) == then
    assert told([when], run=run)[0].state is state


OVERDUE: dict[str, tuple[list[Any], float, list[str], State]] = {
    "building": (ASKED, LIMITS.building_s, RELEASED, State.FAILED),
    "no machine": (
        [*ASKED, BUILT, PINNED],
        LIMITS.provisioning_s,
        ["AttemptLost", "RetryScheduled", "MachineReleased"],
        State.RETRYING,
    ),
    "no machine, but one was promised": (
        [*ASKED, BUILT, PINNED, delayed()],
        LIMITS.provisioning_s,
        [],
        State.PROVISIONING,
    ),
    "a promise not kept": (
        [*ASKED, BUILT, PINNED, delayed()],
        LIMITS.delayed_s,
        ["AttemptLost", *RELEASED],
        State.FAILED,
    ),
    "starting": (STARTING, LIMITS.starting_s, ["AttemptLost", *AGAIN], State.PROVISIONING),
    "running without a time-out": (RUNNING, 86400, [], State.RUNNING),
    "running beyond its time-out": (
        [requested(timeout_s=5), BUILT, PINNED, ready(), started()],
        5 + LIMITS.grace_s + LIMITS.timeout_slack_s,
        ["AttemptLost", *RELEASED],
        State.FAILED,
    ),
    "uploading": (UPLOADING, LIMITS.uploading_s, ["AttemptLost", *AGAIN], State.PROVISIONING),
    "never stopped": (
        STOPPING,
        LIMITS.grace_s + LIMITS.stopping_s,
        ["AttemptLost", "RunCancelled", "MachineReleased"],
        State.CANCELLED,
    ),
    "retry": ([*ASKED, unavailable(transient=True)], 60, ["MachineRequested"], State.BUILDING),
    "retry too early": ([*ASKED, unavailable(transient=True)], 1, [], State.RETRYING),
    "over": (DONE, 10**8, [], State.SUCCEEDED),
}


@pytest.mark.parametrize(("given", "seconds", "then", "state"), OVERDUE.values(), ids=OVERDUE.keys())
def test_what_time_brings(given, seconds, then, state):
    run, _ = told(given)
    assert kinds(decide(run, CheckTime(), now=after(seconds), limits=LIMITS)) == then
    assert told([CheckTime()], run=run, now=after(seconds))[0].state is state


STALE = {
    "an unknown attempt": ([], started()),
    "another machine": (RUNNING, started(machine="m2")),
    "an old attempt starts": (RETRIED, started()),
    "an old attempt exits": (RETRIED, exited()),
    "an old attempt saves a checkpoint": (RETRIED, saved()),
    "an old attempt finishes": (RETRIED, finished()),
    "an attempt to come": (RUNNING, started(2)),
    "a cancelled run starts": ([*STARTING, CANCEL], started()),
    "a cancelled run finishes": ([*STARTING, CANCEL], finished()),
    "an attempt without its image": ([*ASKED, ready()], started()),
}


@pytest.mark.parametrize(("given", "when"), STALE.values(), ids=STALE.keys())
def test_who_does_not_count_is_fenced(given, when):
    run, _ = told(given)
    with pytest.raises(Fenced):
        decide(run, when, now=NOON, limits=LIMITS)
