"""What the next attempt goes on from."""

from cynthus.orchestrator.domain.messages import CheckTime
from tests.unit.orchestrator.given import (
    BUILT,
    PINNED,
    after,
    ready,
    requested,
    saved,
    started,
    told,
    vanished,
)

RUNNING = [requested(), BUILT, PINNED, ready(), started()]
SECOND = [vanished(), CheckTime(), ready(2, "m2"), started(2, "m2")]


def manifest_of(messages):
    run, _ = told(messages)
    return run.checkpoint and run.checkpoint.manifest


def test_without_a_checkpoint_the_next_attempt_begins_anew():
    assert manifest_of([*RUNNING, *SECOND]) is None


def test_the_latest_checkpoint_of_an_attempt_counts():
    states = [saved(manifest=f"sha256:{letter}") for letter in "abc"]
    assert manifest_of([*RUNNING, *states]) == "sha256:c"
    assert manifest_of([*RUNNING, *states, *SECOND]) == "sha256:c"


def test_the_newest_attempt_that_saved_one_counts():
    later = saved(2, "m2", manifest="sha256:later")
    run, _ = told([*RUNNING, saved(), *SECOND])
    assert (run.checkpoint.epoch, run.checkpoint.manifest) == (1, "sha256:c")
    run, _ = told([later], run=run, now=after(5))
    assert (run.checkpoint.epoch, run.checkpoint.manifest, run.checkpoint.at) == (2, "sha256:later", after(5))
