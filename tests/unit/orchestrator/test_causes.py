"""Each cause is of a kind; the kind says whether, when and out of whose budget a run is tried again."""

import ast
from pathlib import Path

import pytest

from cynthus.events import Cause, RetryScheduled, RunFailed, VMLost
from cynthus.orchestrator.domain.cause_document import document
from cynthus.orchestrator.domain.kinds import TABLE, Budget, Kind
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.messages import CheckTime
from cynthus.orchestrator.domain.run import State
from tests.unit.orchestrator.given import (
    BUILT,
    PINNED,
    RUN,
    after,
    finished,
    ready,
    requested,
    started,
    told,
    unavailable,
    vanished,
)

ROOT = Path(__file__).resolve().parents[3]
FEW = Limits(infrastructure_retries=2, preemption_retries=3, capacity_retries=4, machines_are_free=True)
ALLOWED = {Budget.USER: 1, Budget.INFRASTRUCTURE: 2, Budget.PREEMPTION: 3, Budget.CAPACITY: 4}


def ending(code: str):
    return Cause(code=code, message=f"It ended with {code}.", evidence=("line 1",))


def machine(epoch: int) -> list[object]:
    return [ready(epoch, f"m{epoch}"), started(epoch, f"m{epoch}")]


def fail(run, code: str, now, limits=FEW):
    """One attempt that ends with this code by its worker's word, and the next one if there is one."""
    epoch = run.epoch
    end = finished(epoch, f"m{epoch}", code=1, cause=ending(code))
    run, history = told([*machine(epoch), end], run=run, now=now, limits=limits)
    return run, history


def until_it_is_over(code: str, *, limits=FEW, **wish):
    run, history = told([requested(retries=1, **wish), BUILT, PINNED], limits=limits)
    for hour in range(1, 100):
        run, more = fail(run, code, after(hour * 3600), limits)
        history += more
        if run.over:
            return run, history
        run, more = told([CheckTime()], run=run, now=after(hour * 3600 + 200), limits=limits)
        history += more
    raise AssertionError


def test_the_document_is_what_the_code_does():
    assert (ROOT / "docs" / "causes.md").read_text() == document()


def test_every_code_that_a_service_or_a_worker_names_is_in_the_table():
    known = {*TABLE, "cancelled"}
    for folder in ("worker/src", "services/provisioner/src", "services/builder/src", "services/datasets/src"):
        for path in (ROOT / folder).rglob("*.py"):
            assert named_in(path) <= known, path


def named_in(path: Path) -> set[str]:
    """The codes of causes that a file spells out."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    causes = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Cause"]
    words = [call.args[0] for call in causes if call.args]
    words += [word.value for call in causes for word in call.keywords if word.arg == "code"]
    return {node.value for node in words if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("code", [code for code, entry in TABLE.items() if entry.kind is Kind.PERMANENT])
def test_what_another_attempt_would_meet_again_ends_the_run_at_once(code):
    run, history = until_it_is_over(code, retry_on=("preemption", "no_capacity", "infra", "failure"))
    assert (run.state, run.epoch) == (State.FAILED, 1)
    assert run.cause == history[-2].cause
    assert (run.cause.code, run.cause.evidence) == (code, ("line 1",))


@pytest.mark.parametrize(
    ("code", "budget"),
    [
        *[("user_exit", Budget.USER), ("oom", Budget.USER), ("unheard_of", Budget.USER)],
        *[("worker_failed", Budget.INFRASTRUCTURE), ("container_refused", Budget.INFRASTRUCTURE)],
        *[("preempted", Budget.PREEMPTION), ("no_capacity", Budget.CAPACITY)],
    ],
)
def test_a_budget_ends_and_the_run_says_which_with_the_last_evidence(code, budget):
    run, history = until_it_is_over(code)
    allowed = ALLOWED[budget]
    told_of = [
        (event.budget, event.used, event.allowed) for event in history if isinstance(event, RetryScheduled)
    ]
    assert told_of == [(budget, used, allowed) for used in range(1, allowed + 1)]
    assert (run.epoch, run.used) == (allowed + 1, {budget: allowed})
    assert f"no attempt is left after {allowed + 1}: the {budget} budget is used up" in run.cause.message
    assert (run.cause.code, run.cause.evidence) == (code, ("line 1",))


def test_no_budget_burns_another():
    run, _ = told([requested(retries=1), BUILT, PINNED], limits=FEW)
    codes = ["preempted", "worker_failed", "preempted", "user_exit", "worker_failed", "preempted"]
    for hour, code in enumerate(codes, start=1):
        run, _ = fail(run, code, after(hour * 3600))
        run, _ = told([CheckTime()], run=run, now=after(hour * 3600 + 200), limits=FEW)
    assert run.used == {Budget.PREEMPTION: 3, Budget.INFRASTRUCTURE: 2, Budget.USER: 1}
    assert not run.over


@pytest.mark.parametrize(
    ("code", "kind"),
    [("user_exit", "failure"), ("worker_failed", "infra"), ("preempted", "preemption")],
)
def test_a_kind_that_the_user_did_not_name_ends_the_run_at_once(code, kind):
    others = tuple(each for each in ("preemption", "no_capacity", "infra", "failure") if each != kind)
    run, history = until_it_is_over(code, retry_on=others)
    assert run.epoch == 1
    assert run.cause.code == code
    assert f"`retry` does not name `{kind}`" in run.cause.message
    assert not any(isinstance(event, RetryScheduled) for event in history)


def test_a_full_disk_is_the_programs_only_once_the_program_runs():
    full = finished(code=None, cause=ending("disk_full"))
    run, _ = told([requested(), BUILT, PINNED, ready(), full], limits=FEW)
    assert run.used == {Budget.INFRASTRUCTURE: 1}
    run, _ = told([requested(), BUILT, PINNED, ready(), started(), full], limits=FEW)
    assert (run.state, run.cause.code) == (State.FAILED, "disk_full")


def delays(code: str, limits=FEW, **wish) -> list[float]:
    _, history = until_it_is_over(code, limits=limits, **wish)
    return [event.delay_s for event in history if isinstance(event, RetryScheduled)]


def test_the_first_lost_machine_is_replaced_at_once_and_the_next_ones_later_and_later():
    waits = delays("preempted")
    assert waits[0] == 0
    assert 2 <= waits[1] <= 2.5
    assert 4 <= waits[2] <= 5


def test_the_user_says_how_long_a_failure_waits():
    wish = {"retry_backoff_s": 30.0, "retries": 4}
    _, history = told([requested(**wish), BUILT, PINNED, *machine(1), finished(code=1)])
    (first,) = [event for event in history if isinstance(event, RetryScheduled)]
    assert 30 <= first.delay_s <= 37.5
    run, _ = told([CheckTime()], run=told([requested(**wish), BUILT, PINNED])[0])
    waits = []
    for hour in range(1, 5):
        run, more = fail(run, "user_exit", after(hour * 3600))
        waits += [event.delay_s for event in more if isinstance(event, RetryScheduled)]
        run, _ = told([CheckTime()], run=run, now=after(hour * 3600 + 200))
    assert [round(wait // 15) for wait in waits] == [2, 4, 4, 4]


def test_waits_are_the_same_whoever_computes_them_and_differ_between_runs():
    assert delays("preempted") == delays("preempted")


def test_who_waits_for_a_machine_for_a_week_is_told_so():
    limits = Limits(capacity_retries=1000, machines_are_free=True)
    run, _ = told([requested(), BUILT, PINNED], limits=limits)
    day = 86400
    for number in range(20):
        run, _ = told(
            [unavailable(run.epoch, transient=True)], run=run, now=after(number * day), limits=limits
        )
        if run.over:
            break
        run, _ = told([CheckTime()], run=run, now=after(number * day + 3600), limits=limits)
    assert run.over
    assert "no machine was found in 604800 s" in run.cause.message
    assert number == 7


def test_a_preempted_machine_burns_neither_the_users_nor_the_infrastructures_budget():
    run, _ = told([requested(), BUILT, PINNED, ready(), started(), vanished()], limits=FEW)
    assert run.used == {Budget.PREEMPTION: 1}
    gone = VMLost(run_id=RUN, epoch=2, machine="m2", cause=ending("lost_machine"))
    run, _ = told([*machine(2), gone], run=run, now=after(9), limits=FEW)
    assert run.used == {Budget.PREEMPTION: 1, Budget.INFRASTRUCTURE: 1}


def test_what_the_provisioner_calls_final_is_final():
    run, history = told([requested(retries=9), BUILT, unavailable()], limits=FEW)
    assert isinstance(history[-1], RunFailed)
    assert (run.epoch, run.cause.code) == (1, "quota")
