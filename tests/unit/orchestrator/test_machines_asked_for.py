"""When a machine is asked for, and what it must be able to do."""

import pytest

from cynthus.events import AttemptExited, BuildFailed, Cause, Event, MachineRequested, RetryScheduled
from cynthus.orchestrator.api.resources import run_resource
from cynthus.orchestrator.domain.kinds import Budget
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.messages import CheckTime
from cynthus.orchestrator.domain.run import State
from tests.unit.orchestrator.given import (
    BUILT,
    FLAKY,
    LIMITS,
    RUN,
    UNBUILT,
    after,
    finished,
    kinds,
    ready,
    requested,
    started,
    told,
)

COSTLY = Limits(machines_are_free=False)


def wanting(*, gpu: str | None = None, runtime: str | None = None):
    asked = requested(retries=3, data=False)
    resources = asked.spec.resources.model_copy(update={"gpu": gpu})
    spec = asked.spec.model_copy(update={"resources": resources, "runtime": runtime})
    return asked.model_copy(update={"spec": spec})


def image(**facts):
    return BUILT.model_copy(update={"image": BUILT.image.model_copy(update=facts)})


def machines(history: list[Event]) -> list[MachineRequested]:
    return [event for event in history if isinstance(event, MachineRequested)]


def test_a_machine_that_costs_nothing_is_asked_for_while_the_image_is_built():
    _, history = told([wanting(runtime="container")])
    (asked,) = machines(history)
    assert (asked.runtime, asked.min_driver) == ("container", None)


@pytest.mark.parametrize(("limits", "gpu"), [(COSTLY, None), (COSTLY, "L4"), (LIMITS, "L4")])
def test_a_machine_that_costs_money_or_has_a_gpu_is_asked_for_with_the_image(limits, gpu):
    run, history = told([wanting(gpu=gpu)], limits=limits)
    assert machines(history) == []
    run, history = told([image(runtime="container", min_driver="580.65.06")], run=run, limits=limits)
    assert kinds(history) == ["ImageBuilt", "MachineRequested"]
    (asked,) = machines(history)
    assert (asked.runtime, asked.min_driver, asked.resources.gpu) == ("container", "580.65.06", gpu)


def test_a_failed_build_costs_no_machine():
    run, history = told([wanting(), UNBUILT], limits=COSTLY)
    assert run.state is State.FAILED
    assert kinds(history) == ["RunRequested", "RunQueued", "BuildFailed", "RunFailed"]


def test_a_build_that_failed_keeps_the_evidence():
    conflict = Cause(code="conflict", message="No versions fit.", fix="Relax one.", evidence=("a>1", "a<1"))
    run, _ = told([wanting(), BuildFailed(run_id=RUN, cause=conflict)])
    assert run.cause == conflict


def test_while_a_build_is_tried_again_the_run_says_why_it_waits():
    run, _ = told([wanting(), FLAKY])
    assert run_resource(run)["reason"] == "Something is wrong. The build is tried again."
    other = Cause(code="registry_unavailable", message="The registry does not answer.")
    run, history = told([FLAKY, BuildFailed(run_id=RUN, cause=other, transient=True)], run=run)
    assert kinds(history) == ["BuildFailed"]
    assert "The registry does not answer." in run_resource(run)["reason"]
    run, _ = told([BUILT], run=run)
    assert run_resource(run)["reason"] is None


def failing(code: str) -> Cause:
    return Cause(code=code, message="It cannot be started.")


def exit_with(code: str, epoch: int = 1):
    machine = f"m{epoch}"
    return [
        *[ready(epoch, machine), started(epoch, machine)],
        finished(epoch, machine, code=None, cause=failing(code)),
    ]


@pytest.mark.parametrize("code", ["no_container_engine", "no_gpu", "driver_too_old"])
def test_what_another_attempt_would_meet_again_ends_the_run_with_its_fix(code):
    run, _ = told([wanting(), BUILT, *exit_with(code)])
    assert (run.state, run.cause.code) == (State.FAILED, code)
    assert run.cause.fix
    assert run.epoch == 1


@pytest.mark.parametrize(
    ("code", "waits"), [("engine_restarted", False), ("registry_unreachable", True), ("image_missing", True)]
)
def test_trouble_with_engine_or_registry_is_not_the_users(code, waits):
    run, history = told([wanting(), BUILT, *exit_with(code)])
    (retry,) = [event for event in history if isinstance(event, RetryScheduled)]
    assert (retry.delay_s > 0) is waits
    assert run.used == {Budget.INFRASTRUCTURE: 1}
    run, _ = told([CheckTime()], run=run, now=after(60))
    assert run.epoch == 2


def test_the_timeline_has_the_parts_of_build_and_start():
    asked, built = wanting(), BUILT.model_copy(update={"phases_ms": {"plan": 2.0, "push": 5.5}})
    run, _ = told([asked])
    run, _ = told([built, ready()], run=run, now=after(3))
    began = started().model_copy(update={"phases_ms": {"pull": 7.0, "spawn": 1.0}})
    run, _ = told([began], run=run, now=after(4))
    timeline = run_resource(run, after(4.5))["timeline"]
    assert timeline == {
        "queue": 0.0,
        "build": 3000.0,
        "build.plan": 2.0,
        "build.push": 5.5,
        "machine": 3000.0,
        "start": 1000.0,
        "start.pull": 7.0,
        "start.spawn": 1.0,
        "first_line": 4500.0,
    }
    assert "first_line" not in run_resource(run)["timeline"]
    assert "phases_ms" not in run_resource(run)["image"]


def test_an_exit_of_this_kind_without_a_fix_gets_one():
    fact = AttemptExited(run_id=RUN, epoch=1, cause=failing("image_missing"))
    run, _ = told([wanting(), BUILT, ready(), started(), finished(cause=fact.cause)])
    assert "rerun" in (run.attempts[1].exit_cause.fix or "")
