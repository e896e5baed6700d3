"""Runs, events and log chunks as JSON: docs/protocols.md."""

import base64
from datetime import UTC, datetime
from typing import Any

from cynthus.events import RetryScheduled, RunEvent
from cynthus.orchestrator.domain.run import Again, Attempt, Run, State
from cynthus.orchestrator.ports import LogChunk
from cynthus.store.ports import Recorded


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def run_resource(run: Run, first_line_at: datetime | None = None) -> dict[str, Any]:
    """The Run resource; `first_line_at` is when the newest attempt first wrote something."""
    shown = [run.attempts[epoch] for epoch in sorted(run.attempts) if run.attempts[epoch].requested_at]
    started = [attempt.started_at for attempt in shown if attempt.started_at is not None]
    return {
        "id": run.id,
        "name": run.name,
        "project": run.project,
        "state": run.state,
        "reason": _reason(run),
        "created_at": timestamp(run.created_at),
        "started_at": timestamp(started[0]) if started else None,
        "ended_at": timestamp(run.ended_at),
        "epoch": run.epoch,
        "labels": run.labels,
        "spec": run.spec.model_dump(mode="json"),
        "image": _image(run),
        "cause": run.cause.model_dump(mode="json") if run.cause is not None else None,
        "attempts": [_attempt(run, attempt) for attempt in shown],
        "outputs": _outputs(run.current) if run.over else None,
        "timeline": _timeline(run, first_line_at),
        "rerun_of": run.rerun_of,
        "version": run.version,
    }


def _reason(run: Run) -> str | None:
    if run.cause is not None:
        return run.cause.message
    if run.outcome is State.CANCELLED or run.state is State.TERMINATING:
        return run.cancel_reason
    attempt = run.current
    if run.state is State.BUILDING and run.image is None and run.build_cause is not None:
        return f"{run.build_cause.message} The build is tried again."
    if run.state is State.RETRYING and attempt is not None and attempt.failure is not None:
        return f"{attempt.failure.message} The next attempt starts at {timestamp(run.retry_at)}."
    if run.state is State.PROVISIONING and attempt is not None:
        return attempt.delayed
    return None


def _image(run: Run) -> dict[str, Any] | None:
    if run.image is None:
        return None
    return run.image.model_dump(mode="json") | run.build.model_dump(mode="json", exclude={"phases_ms"})


def _attempt(run: Run, attempt: Attempt) -> dict[str, Any]:
    cause = attempt.failure
    return {
        "epoch": attempt.epoch,
        "state": run.attempt_state(attempt),
        "machine": attempt.machine,
        "reused": attempt.reused,
        "requested_at": timestamp(attempt.requested_at),
        "started_at": timestamp(attempt.started_at),
        "ended_at": timestamp(attempt.ended_at),
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "cause": cause.model_dump(mode="json") if cause is not None else None,
        "then": _then(run, attempt),
        "suspected": _suspicion(attempt),
        "checkpoint": _checkpoint(attempt),
        "machine_deleted_at": timestamp(attempt.gone_at),
        "cpu_seconds": attempt.cpu_seconds,
        "peak_memory_bytes": attempt.peak_memory_bytes,
        "outputs": _outputs(attempt),
        "log_bytes": attempt.log_bytes,
    }


def _then(run: Run, attempt: Attempt) -> str | None:
    """What was done about the attempt's end."""
    again = attempt.again
    if again is not None:
        return f"tried again {when_again(again)}"
    if run.outcome is None or attempt is not run.current:
        return None
    return f"run {run.outcome.lower()}"


def when_again(again: Again | RetryScheduled) -> str:
    """When another attempt is made, and out of which budget."""
    when = f"after {again.delay_s:g} s" if again.delay_s else "at once"
    return when if again.budget is None else f"{when} ({again.budget} {again.used} of {again.allowed})"


def _suspicion(attempt: Attempt) -> dict[str, Any] | None:
    known = attempt.suspected
    return None if known is None else {"time": timestamp(known.at), "silent_s": known.silent_s}


def _checkpoint(attempt: Attempt) -> dict[str, Any] | None:
    kept = attempt.checkpoint
    if kept is None:
        return None
    return {"time": timestamp(kept.at), "manifest": kept.manifest, "files": kept.files, "bytes": kept.bytes}


def _outputs(attempt: Attempt | None) -> dict[str, Any] | None:
    if attempt is None or attempt.outputs is None or attempt.lost is not None:
        return None
    committed = attempt.outputs
    return {"manifest": committed.manifest, "files": committed.files, "bytes": committed.bytes}


def _timeline(run: Run, first_line_at: datetime | None) -> dict[str, float]:
    """Milliseconds of each phase of the newest attempt, and of parts as builder and worker measured them."""
    attempt = run.current or Attempt(epoch=0)
    inputs = [run.image_at] + ([run.data_at] if run.spec.data else [])
    ordered = _last([*inputs, attempt.ready_at]) if None not in [*inputs, attempt.ready_at] else None
    spans = {
        "queue": (run.created_at, run.queued_at),
        "build": (run.created_at, run.image_at),
        "data": (run.created_at, run.data_at),
        "machine": (attempt.requested_at, attempt.ready_at),
        "start": (ordered, attempt.started_at),
        "first_line": (run.created_at, first_line_at),
        "run": (attempt.started_at, attempt.exited_at),
        "upload": (attempt.exited_at, attempt.ended_at),
        "total": (run.created_at, run.ended_at),
    }
    phases = {
        name: round(max(0.0, (end - begin).total_seconds() * 1000), 3)
        for name, (begin, end) in spans.items()
        if begin is not None and end is not None
    }
    parts = {"build": run.build.phases_ms, "start": attempt.phases_ms}
    return phases | {f"{phase}.{name}": ms for phase, part in parts.items() for name, ms in part.items()}


def _last(moments: list[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment is not None]
    return max(known) if known else None


def event_resource(recorded: Recorded) -> dict[str, Any]:
    """One fact of a run's history."""
    envelope = recorded.envelope
    return {
        "version": envelope.sequence,
        "id": envelope.id,
        "type": envelope.type,
        "kind": envelope.event.kind,
        "time": timestamp(envelope.time),
        "actor": envelope.actor,
        "source": envelope.source,
        "causation_id": envelope.causation_id,
        "data": envelope.data(),
        "decided": recorded.decided,
    }


def change_resource(recorded: Recorded) -> dict[str, Any]:
    """A fact among those of all runs: with its run, and a cursor to go on from."""
    event = recorded.envelope.event
    run_id = event.run_id if isinstance(event, RunEvent) else None
    cursor = "-".join(str(part) for part in recorded.position)
    return event_resource(recorded) | {"run": run_id, "cursor": cursor}


def chunk_resource(chunk: LogChunk, data: bytes) -> dict[str, Any]:
    """A piece of log: as text if it is UTF-8."""
    shown: dict[str, Any] = {
        "cursor": f"{chunk.epoch}-{chunk.seq}",
        "source": chunk.source,
        "attempt": chunk.epoch,
        "time": timestamp(chunk.at),
    }
    try:
        return shown | {"text": data.decode()}
    except UnicodeDecodeError:
        return shown | {"base64": base64.b64encode(data).decode()}
