"""What a fact changes. Facts come in any order, so each fills its own fields and a terminal state absorbs."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from cynthus.events import (
    AttemptExited,
    AttemptLost,
    AttemptStarted,
    AttemptSuspected,
    BuildFailed,
    CheckpointSaved,
    DatasetFailed,
    DatasetReady,
    Event,
    ImageBuilt,
    LogsSealed,
    MachineDelayed,
    MachineReleased,
    MachineRequested,
    OutputsCommitted,
    RetryScheduled,
    RunCancelled,
    RunCancelRequested,
    RunEvent,
    RunFailed,
    RunQueued,
    RunRequested,
    RunSucceeded,
    VMDeleted,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.orchestrator.domain import causes
from cynthus.orchestrator.domain.kinds import BUDGETS, Budget, Kind
from cynthus.orchestrator.domain.run import Again, Attempt, Build, Checkpoint, Run, State, Suspicion

_OUTCOMES: dict[type[Event], State] = {
    RunSucceeded: State.SUCCEEDED,
    RunFailed: State.FAILED,
    RunCancelled: State.CANCELLED,
}


def replay(run_id: str, history: Iterable[tuple[Event, datetime]]) -> Run:
    """The run that a stream's facts and their times tell of."""
    run = Run(id=run_id)
    for event, at in history:
        run = evolve(run, event, at)
    return run


def evolve(run: Run, event: Event, at: datetime) -> Run:
    """The run after one more fact of its stream."""
    assert isinstance(event, RunEvent)
    before = run.state
    changes = _changes(run, event, at)
    run = run.model_copy(update={**changes, "version": run.version + 1})
    return run if run.state is before and run.since else run.model_copy(update={"since": at})


def _changes(run: Run, event: Event, at: datetime) -> dict[str, Any]:
    match event:
        case RunSucceeded() | RunFailed() | RunCancelled():
            return _over(run, event, at)
        case RunRequested() | RunCancelRequested() | RunQueued():
            return _wish(event, at)
        case ImageBuilt() | BuildFailed() | DatasetReady() | DatasetFailed():
            return _input(event, at)
        case MachineRequested():
            return {"epoch": event.epoch, "retry_at": None} | _attempt(run, event.epoch, requested_at=at)
        case RetryScheduled():
            return _retry(run, event, at)
        case MachineDelayed() | VMReady() | VMFailed() | VMLost() | VMDeleted() | MachineReleased():
            return _machine(run, event, at)
        case CheckpointSaved():
            saved = {name: getattr(event, name) for name in ("epoch", "manifest", "files", "bytes")}
            return _attempt(run, event.epoch, checkpoint=Checkpoint(**saved, at=at))
        case AttemptSuspected():
            return _attempt(run, event.epoch, suspected=Suspicion(at=at, silent_s=event.silent_s))
        case AttemptStarted() | AttemptExited() | AttemptLost() | LogsSealed() | OutputsCommitted():
            return _attempt(run, event.epoch, **_report(event, at))
        case _:
            return {}


def _wish(event: RunRequested | RunCancelRequested | RunQueued, at: datetime) -> dict[str, Any]:
    match event:
        case RunRequested():
            taken = ("owner", "project", "name", "labels", "spec", "rerun_of")
            return {name: getattr(event, name) for name in taken} | {"requested": True, "created_at": at}
        case RunCancelRequested():
            return {"cancel_reason": event.reason}
        case RunQueued():
            return {"queued": True, "queued_at": at}


def _input(event: ImageBuilt | BuildFailed | DatasetReady | DatasetFailed, at: datetime) -> dict[str, Any]:
    match event:
        case ImageBuilt():
            taken = ("packages", "cached", "seconds", "notes", "phases_ms")
            build = Build(**{name: getattr(event, name) for name in taken})
            return {"image": event.image, "build": build, "image_at": at}
        case BuildFailed():
            return {"build_cause": event.cause, "build_failed": not event.transient}
        case DatasetReady():
            return {"datasets": event.datasets, "data_at": at}
        case DatasetFailed():
            return {"data_cause": event.cause}


def _machine(
    run: Run,
    event: MachineDelayed | VMReady | VMFailed | VMLost | VMDeleted | MachineReleased,
    at: datetime,
) -> dict[str, Any]:
    match event:
        case MachineDelayed():
            return _attempt(run, event.epoch, delayed=event.reason)
        case VMReady():
            return _attempt(run, event.epoch, **_ready(run, event, at)) | {"waiting_since": None}
        case VMFailed():
            return _attempt(
                run, event.epoch, unavailable=event.cause, unavailable_for_good=not event.transient
            )
        case VMLost():
            return _attempt(run, event.epoch, vanished=event.cause)
        case VMDeleted():
            return _deleted(run, event, at)
        case MachineReleased():
            released = run.attempts.get(event.epoch, Attempt(epoch=event.epoch)).released
            return _attempt(run, event.epoch, released=(*released, event.machine))


def _ready(run: Run, event: VMReady, at: datetime) -> dict[str, Any]:
    attempt = run.attempts.get(event.epoch)
    if attempt is not None and attempt.machine is not None:
        return {"surplus": (*attempt.surplus, event.machine)}
    return {"machine": event.machine, "reused": event.reused, "ready_at": at}


def _deleted(run: Run, event: VMDeleted, at: datetime) -> dict[str, Any]:
    attempts = dict(run.attempts)
    for attempt in run.attempts.values():
        if attempt.machine == event.machine:
            vanished = attempt.vanished or causes.gone(event.machine)
            gone = {"gone": True, "gone_at": attempt.gone_at or at, "vanished": vanished}
            attempts[attempt.epoch] = attempt.model_copy(update=gone)
    return {"attempts": attempts}


def _report(
    event: AttemptStarted | AttemptExited | AttemptLost | LogsSealed | OutputsCommitted, at: datetime
) -> dict[str, Any]:
    match event:
        case AttemptStarted():
            return {"started_at": at, "pid": event.pid, "phases_ms": event.phases_ms}
        case AttemptExited():
            taken = ("exit_code", "signal", "seconds", "cpu_seconds", "peak_memory_bytes")
            cause = causes.of_exit(event)
            return {name: getattr(event, name) for name in taken} | {"exit_cause": cause, "exited_at": at}
        case AttemptLost():
            return {"lost": event.cause, "outcome": State.LOST, "ended_at": at}
        case LogsSealed():
            return {"log_bytes": event.bytes_by_source, "log_chunks": event.chunks}
        case OutputsCommitted():
            return {"outputs": event}


def _retry(run: Run, event: RetryScheduled, at: datetime) -> dict[str, Any]:
    attempt = run.attempts[event.epoch]
    budget = Budget(event.budget) if event.budget else BUDGETS[attempt.kind or Kind.INFRA]
    lacking = budget is Budget.CAPACITY
    return {
        "retry_at": at + timedelta(seconds=event.delay_s),
        "used": {**run.used, budget: run.used.get(budget, 0) + 1},
        "waiting_since": (run.waiting_since or attempt.requested_at or at) if lacking else None,
        **_attempt(
            run,
            event.epoch,
            outcome=attempt.outcome or State.FAILED,
            ended_at=attempt.ended_at or at,
            again=Again(**{name: getattr(event, name) for name in Again.model_fields}),
        ),
    }


def _over(run: Run, event: RunSucceeded | RunFailed | RunCancelled, at: datetime) -> dict[str, Any]:
    if run.over:
        return {}
    outcome = _OUTCOMES[type(event)]
    changes = {
        "outcome": outcome,
        "cause": event.cause if isinstance(event, RunFailed) else None,
        "ended_at": at,
        "retry_at": None,
    }
    attempt = run.current
    if attempt is None or attempt.outcome is not None:
        return changes
    return changes | _attempt(run, run.epoch, outcome=outcome, ended_at=at)


def _attempt(run: Run, epoch: int, **changes: Any) -> dict[str, Any]:
    attempt = run.attempts.get(epoch) or Attempt(epoch=epoch)
    return {"attempts": {**run.attempts, epoch: attempt.model_copy(update=changes)}}
