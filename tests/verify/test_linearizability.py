"""The search for an order, on histories of a run that are right and wrong, and beside a brute force."""

import time
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verify.linearizability import NEVER, Operation, check
from tests.verify.run_model import FINAL, NOTHING, Run, Shown, step


def op(name: str, called: float, returned: float = NEVER, **told) -> Operation:
    """An operation; `told` is what it was answered: status, run, state, version."""
    argument = told.pop("argument", None)
    result = Shown(**told) if told else None
    return Operation(name, called, returned, argument, result)


def create(t0: float, t1: float = NEVER, run: str = "r") -> Operation:
    return op("create", t0, t1, status=202, run=run) if t1 < NEVER else op("create", t0, argument=run)


def get(t0: float, t1: float, state: str, version: int | None = None) -> Operation:
    return op("get", t0, t1, status=200, run="r", state=state, version=version)


def commit(t0: float, t1: float, outcome: str = "SUCCEEDED") -> Operation:
    return op("commit", t0, t1, argument=outcome)


def cancel(t0: float, t1: float, effect_by: float) -> list[Operation]:
    return [op("cancel", t0, t1, status=202), op("cancel_effect", t0, effect_by)]


GOOD = {
    "one after the other": [create(0, 1), get(2, 3, "RUNNING"), commit(4, 5), get(6, 7, "SUCCEEDED")],
    "a read beside the end, either way": [
        create(0, 1), commit(4, 8), get(5, 6, "SUCCEEDED"), get(5, 6, "RUNNING"), get(9, 10, "SUCCEEDED"),
    ],
    "a creation without an answer that took effect": [create(0), get(5, 6, "QUEUED")],
    "a creation without an answer that did not": [create(0), op("get", 5, 6, status=404)],
    "a creation without an answer, asked again": [create(0), create(2, 3), get(5, 6, "QUEUED")],
    "one key, one run": [create(0, 5), create(1, 4), get(6, 7, "QUEUED")],
    "cancelled": [create(0, 1), *cancel(2, 3, 9), commit(4, 5, "CANCELLED"), get(6, 7, "CANCELLED")],
    "cancelled too late": [create(0, 1), *cancel(2, 3, 9), commit(2, 5), get(6, 7, "SUCCEEDED")],
    "a cancellation of what is over": [create(0, 1), commit(2, 3), op("cancel", 4, 5, status=409)],
    "a cancellation without an answer": [create(0, 1), op("cancel", 2), commit(8, 9, "CANCELLED")],
    "the same, and it did not take effect": [create(0, 1), op("cancel", 2), commit(8, 9)],
    "deleted": [
        create(0, 1), commit(2, 3), op("delete", 4, 5, status=204), op("get", 6, 7, status=404),
    ],
    "an outage says nothing": [create(0, 1), op("get", 2, 3, status=503), get(4, 5, "RUNNING")],
    "versions grow": [create(0, 1), get(2, 3, "QUEUED", 1), get(4, 5, "RUNNING", 7)],
}  # fmt: skip
BAD = {
    "a stale read": [create(0, 1), commit(2, 3), get(4, 5, "RUNNING")],
    "an end that is seen and then not": [
        create(0, 1), commit(2, 9), get(3, 4, "SUCCEEDED"), get(5, 6, "RUNNING"),
    ],
    "another end than was committed": [create(0, 1), commit(2, 3), get(4, 5, "FAILED")],
    "an end that changes": [create(0, 1), commit(2, 3), commit(4, 5, "FAILED")],
    "an end nobody committed": [create(0, 1), get(4, 5, "SUCCEEDED")],
    "two runs for one key": [create(0, 1), create(2, 3, run="other")],
    "two runs for one key at once": [create(0, 5), create(1, 4, run="other")],
    "an accepted run that is not there": [create(0, 1), op("get", 2, 3, status=404)],
    "a run that is there before it was asked for": [create(4, 5), get(2, 3, "QUEUED")],
    "a cancellation that is lost after its answer": [create(0, 1), *cancel(2, 3, 9), commit(20, 21)],
    "a cancellation nobody asked for": [create(0, 1), commit(2, 3, "CANCELLED")],
    "a cancellation accepted after the end": [create(0, 1), commit(2, 3), op("cancel", 4, 5, status=202)],
    "a cancellation refused before the end": [create(0, 1), op("cancel", 2, 3, status=409), commit(4, 5)],
    "deleted and there": [
        create(0, 1), commit(2, 3), op("delete", 4, 5, status=204), get(6, 7, "SUCCEEDED"),
    ],
    "deleted while it runs": [create(0, 1), op("delete", 2, 3, status=204), commit(4, 5)],
    "a version that goes back": [create(0, 1), get(2, 3, "RUNNING", 7), get(4, 5, "RUNNING", 6)],
}  # fmt: skip


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_history_with_an_explanation_is_accepted(history):
    verdict = check(history, step, NOTHING)
    assert verdict.linearizable
    assert _explains(verdict.order)
    assert {one for one in history if not one.pending} <= set(verdict.order)


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_a_history_without_an_explanation_is_refused(history):
    verdict = check(history, step, NOTHING)
    assert not verdict.linearizable
    assert verdict.stuck


def brute_force(history: list[Operation]) -> bool:
    """Try every order of every choice of the unanswered ones."""
    answered = [one for one in history if not one.pending]
    pending = [one for one in history if one.pending]
    for chosen in range(1 << len(pending)):
        taken = answered + [one for index, one in enumerate(pending) if chosen >> index & 1]
        if any(_explains(order) for order in permutations(taken)):
            return True
    return False


def _explains(order: tuple[Operation, ...]) -> bool:
    latest = float("-inf")
    for operation in order:
        if operation.returned < latest:
            return False
        latest = max(latest, operation.called)
    states: set[Run] = {NOTHING}
    for operation in order:
        states = {after for state in states for after in step(state, operation)}
    return bool(states)


def real_history(random: Random, length: int) -> list[Operation]:
    """Operations executed one by one on a run, each between a call and a return that overlap others'."""
    history: list[Operation] = []
    run, version = NOTHING, 0
    for n in range(length):
        name, told = _executed(random, run, version)
        operation = op(name, n - random.random() * 3, n + random.random() * 3, **told)
        run = random.choice(step(run, operation))
        version += random.randint(0, 1)
        lost = name not in {"commit", "cancel_effect"} and random.random() < 0.1
        history.append(operation.forgotten() if lost and name != "create" else operation)
    return history


def _executed(random: Random, run: Run, version: int) -> tuple[str, dict]:
    if run.id is None:
        return random.choice([("create", {"status": 202, "run": "r"}), ("get", {"status": 404})])
    choices = ["create", "get", "get", "cancel"]
    choices += ["commit"] if run.outcome is None else ["delete"]
    choices += ["cancel_effect"] if run.asked_to_stop else []
    match random.choice(choices):
        case "create":
            return "create", {"status": 202, "run": "r"}
        case "get" if run.deleted:
            return "get", {"status": 404}
        case "get":
            told = {"status": 200, "run": "r", "state": run.outcome or "RUNNING"}
            return "get", told | {"version": max(version, run.version)}
        case "cancel":
            return "cancel", {"status": 202 if run.outcome is None else 409}
        case "commit":
            ends = ["CANCELLED"] if run.stopping else ["SUCCEEDED", "FAILED"]
            return "commit", {"argument": random.choice(ends)}
        case name:
            return name, {"status": 204} if name == "delete" else {}


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_what_really_happened_is_accepted(random, length):
    assert check(real_history(random, length), step, NOTHING).linearizable


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(2, 6))
def test_a_brute_force_comes_to_the_same_verdict(random, length):
    history = [_mutated(random, one) for one in real_history(random, length)]
    assert check(history, step, NOTHING).linearizable == brute_force(history)


def _mutated(random: Random, operation: Operation) -> Operation:
    if random.random() > 0.3 or not isinstance(operation.result, Shown):
        return operation
    state = random.choice(["RUNNING", *FINAL]) if operation.result.state else None
    status = random.choice([operation.result.status, 202, 404, 409, 503])
    told = {"status": status, "run": operation.result.run, "state": state}
    return op(operation.name, operation.called, operation.returned, **told)


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(3, 30))
def test_a_lie_told_after_the_end_is_refused(random, length):
    history = real_history(random, length)
    run = NOTHING
    for operation in history:
        run = random.choice(step(run, operation) or [run])
    later = length + 10.0
    history += [create(later, later + 1)]
    ends = [one.argument for one in history if one.name == "commit"]
    lie = random.choice(sorted({"RUNNING", *FINAL} - {ends[0] if ends else "RUNNING"}))
    history.append(get(later + 2, later + 3, lie))
    assert not check(history, step, NOTHING).linearizable


def test_thousands_of_histories_take_seconds():
    random = Random(11)
    histories = [real_history(random, 40) for _ in range(2000)]
    begun = time.perf_counter()
    assert all(check(history, step, NOTHING).linearizable for history in histories)
    assert time.perf_counter() - begun < 15
