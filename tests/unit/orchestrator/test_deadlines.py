"""Every state that is not an end has a deadline: if nothing comes but time, the end comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.events import RunCancelled, RunFailed, RunSucceeded
from cynthus.orchestrator.domain.limits import Limits, deadline
from cynthus.orchestrator.domain.messages import CheckTime
from cynthus.orchestrator.domain.run import State
from tests.unit.orchestrator.given import (
    BUILT,
    CANCEL,
    LIMITS,
    NOON,
    PINNED,
    after,
    delayed,
    exited,
    kinds,
    ready,
    requested,
    started,
    told,
    unavailable,
    vanished,
)
from tests.unit.orchestrator.test_any_order import EITHER, EVERYTHING, hear

DAY = 86400
ENDS = (RunSucceeded, RunFailed, RunCancelled)
STARTING = [requested(), BUILT, PINNED, ready()]
RUNNING = [*STARTING, started()]
REACHED = {
    State.BUILDING: [requested()],
    State.PROVISIONING: [requested(), BUILT, PINNED],
    State.RETRYING: [requested(), unavailable(transient=True)],
    State.STARTING: STARTING,
    State.RUNNING: RUNNING,
    State.TERMINATING: [*RUNNING, CANCEL],
    State.UPLOADING: [*RUNNING, exited()],
}
NEVER_SEEN = {State.QUEUED}
"""A run that was asked for is building at once; one that was not has no life of its own."""
ATTEMPTS = (
    1 + 1 + LIMITS.infrastructure_retries + LIMITS.preemption_retries + LIMITS.capacity_retries
)  # the first, one of the user's, and those of the other budgets


def only_time(run, limits=LIMITS):
    """The run after nothing but its deadlines, and when that was."""
    history, now = [], run.since or NOON
    for _ in range(3 * ATTEMPTS):
        if run.over:
            return run, history, now
        due = deadline(run, limits)
        assert due is not None, run.state
        now = max(now, due)
        before = run.version
        run, more = told([CheckTime()], run=run, now=now, limits=limits)
        assert run.version > before, f"nothing happened at the deadline of {run.state}"
        history += more
    raise AssertionError(run.state)


def test_every_state_is_tried():
    terminal = {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.LOST}
    assert {*REACHED} == {*State} - terminal - NEVER_SEEN
    assert {told(given)[0].state for given in REACHED.values()} == {*REACHED}


@pytest.mark.parametrize("state", REACHED)
def test_time_alone_ends_a_run_from_each_state(state):
    run, history, _ = only_time(told(REACHED[state])[0])
    assert run.over
    assert sum(isinstance(event, ENDS) for event in history) == 1


@pytest.mark.parametrize("state", REACHED)
def test_a_cancelled_run_ends_within_minutes_from_each_state_though_no_machine_answers(state):
    run, _ = told([*REACHED[state], CANCEL])
    run, _, ended = only_time(run)
    assert run.state is State.CANCELLED
    assert (ended - NOON).total_seconds() <= LIMITS.cancelled_uploading_s


def test_a_run_that_waits_for_a_promised_machine_ends():
    run, _, ended = only_time(told([requested(), BUILT, PINNED, delayed()])[0])
    assert run.state is State.FAILED
    assert (ended - NOON).total_seconds() <= LIMITS.delayed_s


@given(messages=st.lists(st.sampled_from(EVERYTHING), max_size=40), limits=EITHER)
@settings(max_examples=200, deadline=None)
def test_whatever_came_before_time_alone_ends_a_run_in_bounded_time(messages, limits):
    run, _ = hear([requested(retries=1), *messages], limits)
    run, _, ended = only_time(run, limits)
    assert run.over
    assert (ended - NOON).total_seconds() <= limits.unbounded_s + 2 * limits.delayed_s + ATTEMPTS * DAY


@given(messages=st.lists(st.sampled_from([*EVERYTHING, CheckTime()]), max_size=60), limits=EITHER)
@settings(max_examples=200, deadline=None)
def test_attempts_are_bounded_by_the_budgets_and_one_attempts_outputs_are_shown(messages, limits):
    run, _ = hear([requested(retries=1), *messages], limits)
    assert run.epoch <= ATTEMPTS
    assert run.epoch <= 1 + sum(run.used.values()) + 1
    if run.state is State.SUCCEEDED:
        successes = [attempt for attempt in run.attempts.values() if attempt.outcome is State.SUCCEEDED]
        assert [attempt.epoch for attempt in successes] == [run.epoch]


@pytest.mark.parametrize("limits", [Limits(infrastructure_retries=2, preemption_retries=1)])
def test_machines_that_always_vanish_use_up_a_budget_and_no_more(limits):
    run, history = told(RUNNING, limits=limits)
    for epoch in range(1, 50):
        messages = [vanished(epoch, f"m{epoch}")] if epoch > 1 else [vanished()]
        run, more = told(messages, run=run, now=after(epoch * 1000), limits=limits)
        history += more
        if run.over:
            break
        following = epoch + 1
        steps = [CheckTime(), ready(following, f"m{following}"), started(following, f"m{following}")]
        run, more = told(steps, run=run, now=after(epoch * 1000 + 100), limits=limits)
        history += more
    assert (run.state, run.epoch) == (State.FAILED, 2)
    assert kinds(history).count("RetryScheduled") == 1
