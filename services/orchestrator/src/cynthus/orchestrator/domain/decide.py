"""What happens next: a message is taken over when it is news, then whatever must follow is added."""

from datetime import datetime, timedelta
from typing import assert_never

from cynthus.events import (
    AttemptExited,
    AttemptLost,
    AttemptStarted,
    AttemptSuspected,
    BuildFailed,
    Cause,
    DatasetFailed,
    DatasetReady,
    Event,
    ImageBuilt,
    LogsSealed,
    MachineDelayed,
    OutputsCommitted,
    RunCancelRequested,
    RunFailed,
    RunQueued,
    RunRequested,
    VMDeleted,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.orchestrator.domain import causes
from cynthus.orchestrator.domain.evolve import evolve
from cynthus.orchestrator.domain.follow import next_step
from cynthus.orchestrator.domain.limits import Limits, deadline
from cynthus.orchestrator.domain.messages import (
    CheckTime,
    ExpireLease,
    Fenced,
    FinishAttempt,
    Message,
    OtherServicesFact,
    RefuseRun,
    ReportCheckpoint,
    ReportExit,
    SuspectAttempt,
)
from cynthus.orchestrator.domain.run import Attempt, Run, State


def decide(run: Run, message: Message, *, now: datetime, limits: Limits) -> list[Event]:
    """The facts that a message adds to a run's history. Raises Fenced for an attempt that does not count."""
    events = _taken(run, message, now, limits)
    for event in events:
        run = evolve(run, event, now)
    while (step := next_step(run, now, limits)) is not None:
        events.append(step)
        run = evolve(run, step, now)
    return events


def _taken(run: Run, message: Message, now: datetime, limits: Limits) -> list[Event]:
    match message:
        case AttemptStarted():
            attempt = counting(run, message.epoch, message.machine)
            return [message] if attempt.started_at is None and not attempt.complete else []
        case ReportCheckpoint():
            attempt = counting(run, message.saved.epoch, message.machine)
            known = run.checkpoint is not None and run.checkpoint.manifest == message.saved.manifest
            return [] if known or attempt.complete else [message.saved]
        case ReportExit():
            attempt = counting(run, message.exited.epoch, message.machine)
            return [message.exited] if attempt.exited_at is None else []
        case FinishAttempt():
            return _finished(run, message)
        case SuspectAttempt():
            return _suspected(run, message, now)
        case ExpireLease():
            return _expired(run, message)
        case CheckTime():
            return _overdue(run, now, limits)
        case RefuseRun():
            return _refused(run, message)
        case _:
            return [message] if _news(run, message) else []


def _news(run: Run, fact: OtherServicesFact) -> bool:
    match fact:
        case RunRequested():
            return not run.requested
        case RunCancelRequested():
            return run.cancel_reason is None and not run.over
        case ImageBuilt():
            return run.image is None
        case BuildFailed():
            return not run.build_failed and (not fact.transient or fact.cause != run.build_cause)
        case DatasetReady():
            return run.datasets is None
        case DatasetFailed():
            return run.data_cause is None
        case MachineDelayed() | VMReady() | VMFailed() | VMLost() | VMDeleted():
            return _news_of_machine(run, fact)
        case _:
            assert_never(fact)


def _news_of_machine(run: Run, fact: MachineDelayed | VMReady | VMFailed | VMLost | VMDeleted) -> bool:
    if isinstance(fact, VMDeleted):
        return any(a.machine == fact.machine and not a.gone for a in run.attempts.values())
    attempt = run.attempts.get(fact.epoch) or Attempt(epoch=fact.epoch)
    match fact:
        case VMReady():
            return fact.machine != attempt.machine and fact.machine not in attempt.surplus
        case MachineDelayed():
            return attempt.delayed != fact.reason and attempt.machine is None and attempt.outcome is None
        case VMFailed():
            return attempt.unavailable is None and attempt.machine is None
        case VMLost():
            return attempt.vanished is None and attempt.machine in {None, fact.machine}
        case _:
            assert_never(fact)


def counting(run: Run, epoch: int, machine: str) -> Attempt:
    """The attempt a worker speaks for: it counts now, or ended by the worker's own report. Raises Fenced."""
    attempt = run.attempts.get(epoch)
    if attempt is None or attempt.machine != machine:
        raise Fenced(f"attempt {epoch} of {run.id} is not on {machine}")
    if attempt.complete and attempt.lost is None:
        return attempt
    if epoch != run.epoch or attempt.outcome is not None or run.over or run.state is State.BUILDING:
        raise Fenced(f"attempt {epoch} of {run.id} does not count")
    return attempt


def _refused(run: Run, message: RefuseRun) -> list[Event]:
    """A run that was taken over after all is driven on as any other."""
    if run.requested:
        return []
    cause = causes.not_handled(message.reason)
    return [message.requested, RunQueued(run_id=run.id), RunFailed(run_id=run.id, cause=cause)]


def _finished(run: Run, message: FinishAttempt) -> list[Event]:
    exited = message.exited
    attempt = counting(run, exited.epoch, message.machine)
    if attempt.complete:
        return []
    sealed = LogsSealed(
        run_id=run.id,
        epoch=exited.epoch,
        bytes_by_source=message.log_bytes,
        chunks=message.log_chunks,
    )
    committed = OutputsCommitted(
        run_id=run.id,
        epoch=exited.epoch,
        manifest=message.manifest,
        files=message.files,
        bytes=message.bytes,
    )
    first: list[AttemptExited] = [exited] if attempt.exited_at is None else []
    return [*first, sealed, committed]


def _suspected(run: Run, message: SuspectAttempt, now: datetime) -> list[Event]:
    attempt = run.current
    if attempt is None or attempt.epoch != message.epoch or attempt.outcome is not None or run.over:
        return []
    if attempt.machine is None or attempt.vanished is not None or attempt.complete:
        return []
    known = attempt.suspected
    if known is not None and now - timedelta(seconds=message.silent_s) < known.at:
        return []  # the same silence
    return [
        AttemptSuspected(
            run_id=run.id, epoch=attempt.epoch, machine=attempt.machine, silent_s=message.silent_s
        )
    ]


def _expired(run: Run, message: ExpireLease) -> list[Event]:
    attempt = run.current
    if attempt is None or attempt.epoch != message.epoch or attempt.outcome is not None or run.over:
        return []
    cause = causes.with_silence(causes.lost(attempt.machine), attempt.silent_s)
    return [AttemptLost(run_id=run.id, epoch=attempt.epoch, cause=cause)]


def _overdue(run: Run, now: datetime, limits: Limits) -> list[Event]:
    due = deadline(run, limits)
    if due is None or now < due or run.state is State.RETRYING or run.since is None:
        return []
    seconds = (due - run.since).total_seconds()
    if run.state is State.BUILDING:
        return [RunFailed(run_id=run.id, cause=causes.not_ready(seconds, run.build_cause))]
    return [AttemptLost(run_id=run.id, epoch=run.epoch, cause=_too_long(run, seconds))]


def _too_long(run: Run, seconds: float) -> Cause:
    attempt = run.current
    machine = attempt.machine if attempt else None
    match run.state:
        case State.PROVISIONING:
            return causes.no_machine(seconds, attempt.delayed if attempt else None)
        case State.STARTING:
            return causes.never_started(seconds, machine)
        case State.RUNNING:
            return causes.timed_out(seconds)
        case State.TERMINATING:
            return causes.never_stopped(seconds)
        case _:
            return causes.never_uploaded(seconds)
