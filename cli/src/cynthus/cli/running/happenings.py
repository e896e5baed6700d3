"""A run's events in words."""

from collections.abc import Callable, Mapping
from typing import Any

from cynthus.cli import units

_PREFIX, _SUFFIX = "dev.cynthus.", ".v1"


def kind_of(event: Mapping[str, Any]) -> str:
    """Such as `run.failed`."""
    kind = str(event.get("kind") or event.get("type") or "")
    return kind.removeprefix(_PREFIX).removesuffix(_SUFFIX)


def data_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fact itself."""
    data = event.get("data")
    return data if isinstance(data, Mapping) else {}


def built(data: Mapping[str, Any]) -> tuple[str, float | None]:
    """(text, seconds) of `image.built`."""
    image = data.get("image") or {}
    digest = str(image.get("digest", ""))
    short = digest[: len("sha256:") + 12] + ("…" if digest else "")
    count = int(data.get("packages") or 0)
    parts = [short, "cache hit" if data.get("cached") else "", _packages(count)]
    return "  ".join(part for part in parts if part), data.get("seconds")


def _packages(count: int) -> str:
    return f"{count} package{'' if count == 1 else 's'}" if count else ""


def retried(data: Mapping[str, Any]) -> str:
    """What `run.retry-scheduled` says: `lost_machine: ... Attempt 2 at once (infrastructure 1 of 5)`."""
    cause = data.get("cause") or {}
    said = f"attempt {data.get('epoch')} ended with {cause.get('code')}: {cause.get('message')}"
    return f"{said.rstrip('.')}; {_next_attempt(data)}"


def _next_attempt(data: Mapping[str, Any]) -> str:
    delay_s = float(data.get("delay_s") or 0)
    when = f"in {units.duration(delay_s)}" if delay_s else "at once"
    counted = data.get("budget") and data.get("allowed") is not None
    budget = f" ({data['budget']} {data.get('used')} of {data['allowed']})" if counted else ""
    return f"attempt {int(data.get('epoch') or 0) + 1} {when}{budget}"


def suspected(data: Mapping[str, Any]) -> str:
    """What `attempt.suspected` says."""
    silent = units.duration(float(data.get("silent_s") or 0))
    who = f"attempt {data.get('epoch')}: {data.get('machine')}"
    return f"{who} has been silent for {silent}; its provider is asked"


def kept(data: Mapping[str, Any]) -> str:
    """The size of what `checkpoint.saved` or `outputs.committed` kept."""
    return f"{units.files(int(data.get('files') or 0))}, {units.size(float(data.get('bytes') or 0))}"


def _exited(data: Mapping[str, Any]) -> str:
    how = (
        f"signal {data['signal']}" if data.get("signal") is not None else f"exit code {data.get('exit_code')}"
    )
    return f"attempt {data.get('epoch')}, {how}"


def _reason(data: Mapping[str, Any]) -> str:
    return str(data.get("reason") or "")


_IN_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "image.built": lambda data: built(data)[0],
    "outputs.committed": kept,
    "checkpoint.saved": lambda data: f"attempt {data.get('epoch')}, {kept(data)}",
    "attempt.exited": _exited,
    "attempt.suspected": suspected,
    "machine.delayed": _reason,
    "run.cancelled": _reason,
    "run.cancel-requested": _reason,
}


def summary(event: Mapping[str, Any]) -> str:
    """What is worth a line in `cynthus events`."""
    kind, data = kind_of(event), data_of(event)
    cause = data.get("cause") or {}
    if kind == "run.retry-scheduled":
        return f"{cause.get('code')}; {_next_attempt(data)}"
    if cause:
        return f"{cause.get('code')}: {cause.get('message')}"
    if kind in _IN_WORDS:
        return _IN_WORDS[kind](data)
    words = []
    if data.get("epoch") is not None:
        words.append(f"attempt {data['epoch']}")
    if data.get("machine"):
        words.append(f"on {data['machine']}")
    return " ".join(words)
