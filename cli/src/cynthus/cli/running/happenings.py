"""A run's events in words."""

from collections.abc import Mapping
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
    """What `run.retry-scheduled` says."""
    cause = data.get("cause") or {}
    pause = units.duration(float(data.get("delay_s") or 0))
    return f"attempt {data.get('epoch')} ended: {cause.get('message') or cause.get('code')}; again in {pause}"


def summary(event: Mapping[str, Any]) -> str:
    """What is worth a line in `cynthus events`."""
    kind, data = kind_of(event), data_of(event)
    cause = data.get("cause") or {}
    if cause:
        return f"{cause.get('code')}: {cause.get('message')}"
    if kind == "image.built":
        return built(data)[0]
    if kind == "outputs.committed":
        return f"{units.files(int(data.get('files') or 0))}, {units.size(float(data.get('bytes') or 0))}"
    if kind == "attempt.exited":
        if data.get("signal") is not None:
            return f"attempt {data.get('epoch')}, signal {data['signal']}"
        return f"attempt {data.get('epoch')}, exit code {data.get('exit_code')}"
    if kind in {"run.cancelled", "run.cancel-requested"}:
        return str(data.get("reason") or "")
    words = []
    if data.get("epoch") is not None:
        words.append(f"attempt {data['epoch']}")
    if data.get("machine"):
        words.append(f"on {data['machine']}")
    return " ".join(words)
