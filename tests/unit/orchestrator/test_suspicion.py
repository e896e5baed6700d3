"""A silent worker is suspected; only its provider or the end of its lease condemns it."""

import pytest

from cynthus.orchestrator.api.resources import run_resource
from cynthus.orchestrator.domain.messages import ExpireLease, SuspectAttempt
from cynthus.orchestrator.domain.run import State
from tests.unit.orchestrator.given import (
    BUILT,
    CANCEL,
    PINNED,
    after,
    deleted,
    finished,
    kinds,
    ready,
    requested,
    started,
    told,
    vanished,
)

STARTING = [requested(), BUILT, PINNED, ready()]
RUNNING = [*STARTING, started()]
SILENT = SuspectAttempt(1, 15.0)


@pytest.mark.parametrize("given", [STARTING, RUNNING, [*RUNNING, CANCEL]])
def test_silence_is_told_and_nothing_is_lost(given):
    before, _ = told(given)
    run, history = told([SILENT], run=before)
    assert kinds(history) == ["AttemptSuspected"]
    assert (history[0].machine, history[0].silent_s) == ("m1", 15)
    assert (run.state, run.epoch) == (before.state, 1)


def test_a_silence_is_told_once_and_the_next_one_again():
    run, _ = told([*RUNNING, SILENT])
    assert told([SuspectAttempt(1, 55.0)], run=run, now=after(40))[1] == []
    assert kinds(told([SILENT], run=run, now=after(40))[1]) == ["AttemptSuspected"]


@pytest.mark.parametrize(
    "given",
    [
        [],
        [requested(), BUILT],
        [*RUNNING, vanished()],
        [*RUNNING, finished()],
        [*STARTING, CANCEL],
    ],
)
def test_who_does_not_count_is_not_suspected(given):
    run, _ = told(given)
    assert told([SILENT], run=run)[1] == []


@pytest.mark.parametrize("end", [vanished(), deleted(), ExpireLease(1)])
def test_what_condemns_a_suspect_is_evidence_together_with_its_silence(end):
    run, _ = told([*RUNNING, SILENT])
    run, history = told([end], run=run, now=after(20))
    assert "AttemptLost" in kinds(history)
    assert (
        "its worker had been silent for 15 s when its provider was asked" in run.attempts[1].failure.evidence
    )
    (lost, _) = run_resource(run)["attempts"]
    assert lost["suspected"]["silent_s"] == 15
    assert lost["then"].startswith("tried again at once (")


def test_a_suspect_that_speaks_again_goes_on():
    run, _ = told([*RUNNING, SILENT])
    run, _ = told([finished()], run=run, now=after(30))
    assert run.state is State.SUCCEEDED


def test_the_loss_of_a_surplus_machine_harms_nobody():
    run, history = told([*RUNNING, ready(machine="m2"), vanished(machine="m2")])
    assert "AttemptLost" not in kinds(history)
    assert run.state is State.RUNNING
