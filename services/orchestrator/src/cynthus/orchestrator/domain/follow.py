"""What must follow from what is known of a run, one fact at a time, however it became known."""

from datetime import datetime

from cynthus.events import (
    AttemptLost,
    Cause,
    Event,
    MachineReleased,
    MachineRequested,
    RunCancelled,
    RunFailed,
    RunQueued,
    RunSucceeded,
)
from cynthus.orchestrator.domain import causes
from cynthus.orchestrator.domain.again import again
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.run import Attempt, Run


def next_step(run: Run, now: datetime, limits: Limits) -> Event | None:
    """The next fact that is due, or None when there is nothing to do but wait."""
    if not run.requested:
        return None
    if not run.queued:
        return RunQueued(run_id=run.id)
    verdict = None if run.over else _verdict(run, now, limits)
    return verdict or _release(run) or (None if run.over else _request(run, now, limits))


def _verdict(run: Run, now: datetime, limits: Limits) -> Event | None:
    attempt = run.current
    if (
        attempt is not None
        and attempt.outcome is None
        and attempt.vanished is not None
        and not attempt.complete
    ):
        return AttemptLost(
            run_id=run.id, epoch=attempt.epoch, cause=causes.with_silence(attempt.vanished, attempt.silent_s)
        )
    if run.cancel_reason is not None:
        return _cancelled(run, attempt, run.cancel_reason)
    if run.image is None and run.build_failed and run.build_cause is not None:
        return _failed(run, run.build_cause)
    if not run.data_ready and run.data_cause is not None:
        return _failed(run, run.data_cause)
    if attempt is None or run.retry_at is not None:
        return None
    if attempt.failure is not None:
        return again(run, attempt, attempt.failure, now=now, limits=limits)
    return RunSucceeded(run_id=run.id, epoch=attempt.epoch) if attempt.complete else None


def _cancelled(run: Run, attempt: Attempt | None, reason: str) -> Event | None:
    if attempt is not None and attempt.executing and not attempt.complete:
        return None
    return RunCancelled(run_id=run.id, epoch=run.epoch or None, reason=reason)


def _failed(run: Run, cause: Cause) -> Event:
    return RunFailed(run_id=run.id, epoch=run.epoch or None, cause=cause)


def _release(run: Run) -> Event | None:
    for attempt in run.attempts.values():
        ended = attempt.outcome is not None or run.over or attempt.epoch < run.epoch
        for machine in attempt.surplus:
            if machine not in attempt.released:
                return _released(run, attempt, machine)
        if ended and _held(attempt) and attempt.machine not in attempt.released:
            return _released(run, attempt, attempt.machine)
    return None


def _released(run: Run, attempt: Attempt, machine: str | None) -> MachineReleased:
    """Says itself whether the machine may serve again: nobody knows whether AttemptLost is heard before."""
    return MachineReleased(run_id=run.id, epoch=attempt.epoch, machine=machine, lost=attempt.spoilt)


def _held(attempt: Attempt) -> bool:
    """A machine is there, or may still come because it was asked for."""
    return attempt.machine is not None or (attempt.requested_at is not None and attempt.unavailable is None)


def _request(run: Run, now: datetime, limits: Limits) -> Event | None:
    first = run.epoch == 0 and (run.image is not None or _worth_holding(run, limits))
    due = run.retry_at is not None and now >= run.retry_at
    if not (first or due):
        return None
    image = run.image
    return MachineRequested(
        run_id=run.id,
        epoch=run.epoch + 1,
        owner=run.owner,
        resources=run.spec.resources,
        runtime=run.spec.runtime if image is None else image.runtime,
        min_driver=None if image is None else image.min_driver,
    )


def _worth_holding(run: Run, limits: Limits) -> bool:
    """A machine may wait for the image; what a GPU's driver must be, only the image tells."""
    return limits.machines_are_free and run.spec.resources.gpu is None
