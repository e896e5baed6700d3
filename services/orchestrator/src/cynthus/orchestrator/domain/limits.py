"""How long each state may last, how often an attempt may be repeated: the one table of limits."""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cynthus.orchestrator.domain.run import Run, State

_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds a run may stay in a state, and the budgets of repeated attempts."""

    building_s: float = 3600.0
    provisioning_s: float = 900.0
    delayed_s: float = 7 * 86400.0
    """PROVISIONING once the provisioner said that a machine will come later."""
    starting_s: float = 3600.0
    stopping_s: float = 120.0
    """TERMINATING, beyond the grace the user's process is given."""
    uploading_s: float = 6 * 3600.0
    cancelled_uploading_s: float = 600.0
    """UPLOADING of a run that is to be stopped."""
    timeout_slack_s: float = 300.0
    """RUNNING, beyond the run's own time-out, which the worker enforces."""
    unbounded_s: float = 90 * 86400.0
    """RUNNING without a time-out; the lease notices a dead worker long before."""
    grace_s: float = 10.0
    infrastructure_retries: int = 5
    preemption_retries: int = 20
    capacity_retries: int = 20
    backoff_s: float = 2.0
    backoff_cap_s: float = 60.0
    machines_are_free: bool = False
    """Otherwise a machine is asked for only once there is something to run on it."""


def deadline(run: Run, limits: Limits) -> datetime | None:
    """When the run's state has lasted too long, or its next attempt is due; None when it is over."""
    if run.retry_at is not None and run.outcome is None:
        return run.retry_at
    allowed = _allowed_s(run, limits)
    return None if allowed is None or run.since is None else run.since + timedelta(seconds=allowed)


def _allowed_s(run: Run, limits: Limits) -> float | None:
    match run.state:
        case State.BUILDING:
            return limits.building_s
        case State.PROVISIONING:
            delayed = run.current is not None and run.current.delayed is not None
            return limits.delayed_s if delayed else limits.provisioning_s
        case State.STARTING:
            return limits.starting_s
        case State.RUNNING:
            timeout = run.spec.timeout_s
            return (
                limits.unbounded_s if timeout is None else timeout + limits.grace_s + limits.timeout_slack_s
            )
        case State.TERMINATING:
            return limits.grace_s + limits.stopping_s
        case State.UPLOADING:
            return limits.uploading_s if run.cancel_reason is None else limits.cancelled_uploading_s
        case _:
            return None


def backoff_s(run: Run, failures: int, limits: Limits) -> float:
    """Seconds before the next attempt: none at 0 failures, then doubling, spread by up to a quarter."""
    if failures <= 0:
        return 0.0
    spread = 1 + zlib.crc32(f"{run.id}:{run.epoch}".encode()) / 2**32 / 4
    asked = run.spec.retry_backoff_s
    first_s = limits.backoff_s if asked is None else asked
    doubled = first_s * 2.0 ** min(failures - 1, _DOUBLINGS)
    return round(min(doubled, max(first_s, limits.backoff_cap_s)) * spread, 3)
