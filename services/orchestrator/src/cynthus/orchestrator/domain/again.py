"""Whether a failed attempt is followed by another: by the kind of its cause and what is left for it."""

from datetime import datetime

from cynthus.events import Cause, RetryScheduled, RunFailed
from cynthus.orchestrator.domain import causes
from cynthus.orchestrator.domain.kinds import BUDGETS, Budget, Kind, is_slow
from cynthus.orchestrator.domain.limits import Limits, backoff_s
from cynthus.orchestrator.domain.run import Attempt, Run

_AT_ONCE = frozenset({Budget.PREEMPTION, Budget.INFRASTRUCTURE})
"""Whose first repetition need not wait: it was the machine, and another one is taken."""


def again(
    run: Run, attempt: Attempt, cause: Cause, *, now: datetime, limits: Limits
) -> RetryScheduled | RunFailed:
    """Another attempt, or the end of the run with the reason why there is none."""
    kind = attempt.kind or Kind.INFRA
    if kind is Kind.PERMANENT:
        return _failed(run, cause)
    if kind not in run.spec.retry_on:
        allowed_anyway = kind is not Kind.FAILURE or run.spec.retries
        return _failed(run, causes.not_wanted(cause, kind) if allowed_anyway else cause)
    budget = BUDGETS[kind]
    used, allowed = run.used.get(budget, 0), allowance(run, budget, limits)
    if used >= allowed:
        return _failed(run, causes.out_of_budget(cause, budget, allowed))
    waited_s = _waited_s(run, attempt, now) if budget is Budget.CAPACITY else 0.0
    if waited_s >= limits.delayed_s:
        return _failed(run, causes.waited_long(cause, waited_s))
    return RetryScheduled(
        run_id=run.id,
        epoch=attempt.epoch,
        delay_s=backoff_s(run, _steps(run, budget, used, cause), limits),
        cause=cause,
        budget=budget,
        used=used + 1,
        allowed=allowed,
    )


def allowance(run: Run, budget: Budget, limits: Limits) -> int:
    """How many attempts may be made again out of a budget."""
    match budget:
        case Budget.USER:
            return run.spec.retries
        case Budget.INFRASTRUCTURE:
            return limits.infrastructure_retries
        case Budget.PREEMPTION:
            return limits.preemption_retries
        case Budget.CAPACITY:
            return limits.capacity_retries


def _steps(run: Run, budget: Budget, used: int, cause: Cause) -> int:
    """How often the wait was begun; with 0 there is none."""
    if budget in _AT_ONCE and not is_slow(cause.code):
        return used
    if budget is Budget.USER and run.spec.retry_backoff_s is None:
        return used
    return used + 1


def _waited_s(run: Run, attempt: Attempt, now: datetime) -> float:
    since = run.waiting_since or attempt.requested_at or now
    return (now - since).total_seconds()


def _failed(run: Run, cause: Cause) -> RunFailed:
    return RunFailed(run_id=run.id, epoch=run.epoch or None, cause=cause)
