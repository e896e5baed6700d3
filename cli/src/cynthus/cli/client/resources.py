"""Shapes of API v1, as far as the command line reads them."""

from typing import Any, TypedDict


class Attempt(TypedDict, total=False):
    """One try at a run."""

    epoch: int
    state: str
    machine: str | None
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    signal: int | None
    cause: dict[str, Any] | None
    then: str | None
    suspected: dict[str, Any] | None
    checkpoint: dict[str, Any] | None
    machine_deleted_at: str | None
    cpu_seconds: float
    peak_memory_bytes: int


class Run(TypedDict, total=False):
    """A run, whole."""

    id: str
    name: str
    project: str
    state: str
    reason: str | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    epoch: int
    labels: dict[str, str]
    spec: dict[str, Any]
    image: dict[str, Any] | None
    cause: dict[str, Any] | None
    attempts: list[Attempt]
    outputs: dict[str, Any] | None
    timeline: dict[str, float]
    version: int


class LogChunk(TypedDict, total=False):
    """Bytes of one source, as `text` or `base64`."""

    cursor: str
    source: str
    attempt: int
    time: str
    text: str
    base64: str


class LogPage(TypedDict):
    """Chunks after a cursor; `over`: no more will come."""

    chunks: list[LogChunk]
    cursor: str | None
    over: bool


class EventPage(TypedDict):
    """Events after a version; `over`: no more will come."""

    events: list[dict[str, Any]]
    over: bool


class Outputs(TypedDict):
    """What a run left behind; `manifest` names the snapshot."""

    manifest: str | None
    files: int
    bytes: int


OVER = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
"""States that a run does not leave."""
