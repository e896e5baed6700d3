"""Facts come in any order and more than once: the end is the same, and there is exactly one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cynthus.events import ImageBuilt, MachineRequested, RunCancelled, RunFailed, RunSucceeded
from cynthus.orchestrator.domain.evolve import replay
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.messages import CheckTime, ExpireLease, Fenced, SuspectAttempt
from cynthus.orchestrator.domain.run import Run, State
from tests.unit.orchestrator.given import (
    BUILT,
    CANCEL,
    FLAKY,
    LIMITS,
    NOON,
    PINNED,
    RUN,
    UNBUILT,
    UNPINNED,
    after,
    delayed,
    deleted,
    exited,
    finished,
    ready,
    requested,
    saved,
    started,
    told,
    unavailable,
    vanished,
)

COSTLY = Limits(machines_are_free=False)
EITHER = st.sampled_from([LIMITS, COSTLY])
TERMINAL = (RunSucceeded, RunFailed, RunCancelled)
INPUTS = [requested(), BUILT, PINNED, ready()]

ONE_END: dict[str, tuple[list[Any], State]] = {
    "inputs": (INPUTS, State.STARTING),
    "delayed": ([*INPUTS, delayed(), FLAKY], State.STARTING),
    "build failed": ([requested(), UNBUILT, PINNED, ready()], State.FAILED),
    "data failed": ([requested(), BUILT, UNPINNED, ready()], State.FAILED),
    "no machine": ([requested(), BUILT, PINNED, unavailable()], State.FAILED),
    "cancelled": ([*INPUTS, CANCEL], State.CANCELLED),
    "lost": ([*INPUTS, vanished()], State.PROVISIONING),
    "deleted": ([*INPUTS, vanished(), deleted()], State.PROVISIONING),
}
WORKER = [started(), exited(), finished()]
EVERYTHING = [
    *[requested(retries=1), BUILT, FLAKY, UNBUILT, PINNED, UNPINNED, CANCEL, CheckTime()],
    *[fact(epoch) for epoch in (1, 2) for fact in (ready, delayed, unavailable, vanished, started, exited)],
    *[finished(1), finished(2), finished(1, code=1), finished(2, code=1), deleted(), deleted("m2")],
    *[ready(1, "m2"), ready(2, "m2"), started(2, "m2"), finished(2, "m2"), ExpireLease(1), ExpireLease(2)],
    *[unavailable(1, transient=True), unavailable(2, transient=True)],
    *[saved(1), saved(2, "m2"), SuspectAttempt(1, 9.0), SuspectAttempt(2, 9.0)],
]


def hear(messages: list[Any], limits: Limits = LIMITS) -> tuple[Run, list[Any]]:
    run, history = Run(id=RUN), []
    for number, message in enumerate(messages):
        try:
            run, events = told([message], run=run, now=after(number), limits=limits)
        except Fenced:
            continue
        history += [(event, after(number)) for event in events]
    return run, history


@pytest.mark.parametrize(("facts", "state"), ONE_END.values(), ids=ONE_END.keys())
@given(data=st.data(), limits=EITHER)
@settings(max_examples=150, deadline=None)
def test_the_same_facts_in_any_order_end_the_same(facts, state, data, limits):
    repeated = data.draw(st.lists(st.sampled_from(facts), max_size=6))
    order = data.draw(st.permutations([*facts, *repeated]))
    run, history = told(order, limits=limits)
    assert run.state is state
    assert sum(isinstance(event, TERMINAL) for event in history) == run.over


@given(data=st.data(), limits=EITHER)
@settings(max_examples=150, deadline=None)
def test_inputs_and_reports_in_any_order_and_repeated_succeed_once(data, limits):
    inputs = data.draw(st.permutations([*INPUTS, *data.draw(st.lists(st.sampled_from(INPUTS), max_size=4))]))
    reports = data.draw(st.lists(st.sampled_from([*WORKER, *INPUTS]), max_size=8))
    run, history = hear([*inputs, *reports, finished(), *reports], limits)
    assert run.state is State.SUCCEEDED
    assert sum(isinstance(event, TERMINAL) for event, _ in history) == 1


@given(messages=st.lists(st.sampled_from(EVERYTHING), max_size=40), limits=EITHER)
@settings(max_examples=600, deadline=None)
def test_whatever_comes_there_is_at_most_one_end_and_it_stays(messages, limits):
    run, history = hear(messages, limits)
    ends = [number for number, (event, _) in enumerate(history) if isinstance(event, TERMINAL)]
    assert len(ends) == run.over
    assert replay(RUN, history) == run
    if ends:
        assert replay(RUN, history[: ends[0] + 1]).state is run.state


@given(messages=st.lists(st.sampled_from(EVERYTHING), max_size=40), limits=EITHER)
@settings(max_examples=300, deadline=None)
def test_when_a_run_is_over_every_machine_it_held_is_released(messages, limits):
    run, _ = hear([requested(retries=1), *messages, CANCEL, CheckTime()], limits)
    if not run.over:
        run, _ = told([CheckTime()], run=run, now=after(10**9), limits=limits)
    assert run.over
    for attempt in run.attempts.values():
        held = {machine for machine in (attempt.machine, *attempt.surplus) if machine is not None}
        assert held <= set(attempt.released)


@given(messages=st.lists(st.sampled_from(EVERYTHING), max_size=40), limits=EITHER)
@settings(max_examples=300, deadline=None)
def test_time_alone_brings_every_run_to_an_end(messages, limits):
    run, _ = hear([requested(retries=1), *messages], limits)
    now = 10**6
    while not run.over:
        now += 10**8
        assert now < 10**10
        run, _ = told([CheckTime()], run=run, now=after(now), limits=limits)


@given(messages=st.lists(st.sampled_from(EVERYTHING), max_size=40))
@settings(max_examples=300, deadline=None)
def test_a_machine_that_costs_money_is_asked_for_only_when_the_image_is_there(messages):
    run, history = hear([requested(retries=1), *messages], COSTLY)
    happened = [type(event) for event, _ in history]
    if MachineRequested in happened:
        assert ImageBuilt in happened[: happened.index(MachineRequested)]
    assert run.image is None or run.epoch > 0 or run.over


@given(facts=st.permutations(INPUTS))
def test_inputs_commute(facts):
    run, _ = told(facts)
    expected, _ = told(INPUTS)
    different = {"version": 0, "since": NOON}
    assert run.model_copy(update=different) == expected.model_copy(update=different)
