"""How often a run is tried, and what its end says."""

from cynthus.events import Cause, RetryScheduled, RunFailed
from cynthus.orchestrator.domain.kinds import Budget
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.messages import CheckTime, ExpireLease
from cynthus.orchestrator.domain.run import State
from tests.unit.orchestrator.given import (
    BUILT,
    PINNED,
    after,
    finished,
    ready,
    requested,
    started,
    told,
    unavailable,
)

TWO = Limits(infrastructure_retries=2)


def attempt(epoch: int) -> list[object]:
    return [ready(epoch, f"m{epoch}"), started(epoch, f"m{epoch}")]


def lose(run, epoch, now):
    run, _ = told([*attempt(epoch), ExpireLease(epoch), CheckTime()], run=run, now=now, limits=TWO)
    return run


def test_lost_machines_use_up_the_infrastructure_budget_and_no_retry_of_the_user():
    run, _ = told([requested(retries=1), BUILT, PINNED], limits=TWO)
    for epoch in (1, 2):
        run = lose(run, epoch, after(epoch * 1000))
        run, _ = told([CheckTime()], run=run, now=after(epoch * 1000 + 500), limits=TWO)
    assert (run.epoch, run.used) == (3, {Budget.INFRASTRUCTURE: 2})
    run, history = told([*attempt(3), finished(3, "m3", code=1)], run=run, now=after(3000), limits=TWO)
    assert run.used[Budget.USER] == 1
    assert any(isinstance(event, RetryScheduled) for event in history)
    run = lose(run, 4, after(4000))
    assert run.state is State.FAILED
    assert run.cause is not None
    assert run.cause.code == "lost_machine"
    assert "no attempt is left after 3: the infrastructure budget is used up" in run.cause.message


def test_lacking_machines_are_waited_for_longer_each_time():
    run, history = told([requested()])
    for epoch in range(1, 21):
        messages = [unavailable(epoch, transient=True)]
        run, more = told(messages, run=run, now=after(epoch * 1000))
        history += more
        run, _ = told([CheckTime()], run=run, now=after(epoch * 1000 + 500))
    delays = [event.delay_s for event in history if isinstance(event, RetryScheduled)]
    assert delays[:5] == sorted(delays[:5])
    assert 2 <= delays[0] <= 2.5
    assert max(delays) <= 75
    run, _ = told([unavailable(21, transient=True)], run=run, now=after(29000))
    assert run.state is State.FAILED
    assert run.cause is not None
    assert run.cause.code == "quota"
    assert "the capacity budget is used up" in run.cause.message


def test_a_failed_run_names_its_exit_code():
    run, history = told([requested(), BUILT, PINNED, *attempt(1), finished(code=3)])
    failed = next(event for event in history if isinstance(event, RunFailed))
    assert (failed.cause.code, failed.cause.exit_code) == ("user_exit", 3)
    assert failed.cause.fix
    assert run.cause == failed.cause


def test_a_failed_run_names_its_signal():
    run, _ = told([requested(), BUILT, PINNED, *attempt(1), finished(code=None, signal=11)])
    assert run.cause is not None
    assert (run.cause.code, run.cause.signal) == ("signal", 11)
    assert "SIGSEGV" in run.cause.message


def test_the_worker_knows_better_why():
    oom = Cause(code="oom", message="The program needed more memory than there is.", evidence=("oom_kill 1",))
    run, _ = told([requested(), BUILT, PINNED, *attempt(1), finished(code=None, signal=9, cause=oom)])
    assert run.cause is not None
    assert (run.cause.code, run.cause.signal, run.cause.evidence) == ("oom", 9, ("oom_kill 1",))
    assert "--memory" in (run.cause.fix or "")


def test_a_worker_that_was_stopped_costs_the_user_no_retry():
    stopped = Cause(code="worker_stopped", message="The machine is being stopped.")
    run, _ = told([requested(), BUILT, PINNED, *attempt(1), finished(code=None, signal=15, cause=stopped)])
    assert (run.state, run.epoch, run.used) == (State.PROVISIONING, 2, {Budget.INFRASTRUCTURE: 1})
