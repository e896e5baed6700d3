"""The attempts of a run: a row each, and under it what happened to it and what was done about it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from cynthus.cli import units
from cynthus.cli.client.resources import Attempt
from cynthus.cli.table import columns
from cynthus.cli.terminal import Terminal

_HEAD = ("ATTEMPT", "STATE", "MACHINE", "TOOK", "CPU", "MEMORY", "EXIT", "CAUSE")
_INDENT = " " * 11
_GONE = frozenset({"lost_machine", "preempted"})


def lines(attempts: Sequence[Attempt], screen: Terminal, now: datetime) -> Iterator[str]:
    """The last one's cause is the run's, if the run is over for it: that is told elsewhere."""
    head, *rows = columns(_HEAD, [_row(attempt, now) for attempt in attempts])
    yield f"  {head}"
    saved: Attempt | None = None
    for number, (attempt, row) in enumerate(zip(attempts, rows, strict=True), 1):
        yield f"  {row}"
        for label, text in _notes(attempt, saved, last=number == len(attempts)):
            yield f"{_INDENT}{screen.dim(f'{label:5}')} {text}"
        saved = attempt if attempt.get("checkpoint") else saved


def _notes(attempt: Attempt, saved: Attempt | None, *, last: bool) -> Iterator[tuple[str, str]]:
    """What is worth a line, in the order in which it happened."""
    if saved is not None and attempt.get("started_at"):
        yield "from", f"the last checkpoint of attempt {saved.get('epoch')}"
    if attempt.get("checkpoint"):
        yield "saved", _checkpoint(attempt)
    if attempt.get("suspected"):
        yield "seen", _suspicion(attempt)
    cause = attempt.get("cause") or {}
    ended_by_it = last and str(attempt.get("then") or "").startswith("run ")
    if cause and not ended_by_it:
        message = str(cause.get("message") or cause.get("code"))
        yield "why", message
        yield from (("", str(line)) for line in cause.get("evidence") or () if str(line) not in message)
    if cause and attempt.get("then"):
        yield "then", str(attempt["then"]) + _deleted(attempt)


def _checkpoint(attempt: Attempt) -> str:
    """How far the kept state is, and how large."""
    kept = attempt.get("checkpoint") or {}
    what = f"{units.files(int(kept.get('files') or 0))}, {units.size(float(kept.get('bytes') or 0))}"
    began = attempt.get("started_at")
    if not began or not kept.get("time"):
        return f"a checkpoint: {what}"
    into_s = (units.parse_time(kept["time"]) - units.parse_time(began)).total_seconds()
    return f"its last checkpoint {units.duration(max(0.0, into_s))} after its start: {what}"


def _suspicion(attempt: Attempt) -> str:
    suspected: dict[str, Any] = attempt.get("suspected") or {}
    silent = f"silent for {units.duration(float(suspected.get('silent_s') or 0))}, provider asked"
    code = (attempt.get("cause") or {}).get("code")
    if code in _GONE:
        return f"{silent}: gone" if code == "preempted" or _is_denied(attempt) else f"{silent}: still there"
    return silent if attempt.get("ended_at") is None else f"{silent}: still there"


def _is_denied(attempt: Attempt) -> bool:
    """The provider said that there is no such machine; otherwise its lease has run out."""
    return "whole lease" not in str((attempt.get("cause") or {}).get("message"))


def _deleted(attempt: Attempt) -> str:
    deleted, ended = attempt.get("machine_deleted_at"), attempt.get("ended_at")
    if not deleted:
        return ""
    if not ended:
        return f"; its machine was deleted at {deleted}"
    after = (units.parse_time(deleted) - units.parse_time(ended)).total_seconds()
    return f"; its machine was gone {units.duration(max(0.0, after))} later"


def _row(attempt: Attempt, now: datetime) -> tuple[str, ...]:
    began, ended = attempt.get("started_at"), attempt.get("ended_at")
    took = "-"
    if began:
        until = units.parse_time(ended) if ended else now
        took = units.duration(max(0.0, (until - units.parse_time(began)).total_seconds()))
    cause = attempt.get("cause") or {}
    return (
        str(attempt.get("epoch", "")),
        str(attempt.get("state") or ""),
        str(attempt.get("machine") or "-"),
        took,
        units.duration(attempt["cpu_seconds"]) if attempt.get("cpu_seconds") else "-",
        units.size(attempt["peak_memory_bytes"]) if attempt.get("peak_memory_bytes") else "-",
        _exit(attempt),
        str(cause.get("code") or ""),
    )


def _exit(attempt: Attempt) -> str:
    if attempt.get("signal") is not None:
        return f"signal {attempt['signal']}"
    return "-" if attempt.get("exit_code") is None else str(attempt["exit_code"])
