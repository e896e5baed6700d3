"""The shapes of answers, for the OpenAPI document and for the routes that build them."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """An answer: every field is always there."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Me(Answer):
    """Who the token belongs to."""

    owner: str
    via: str


class ProjectResource(Answer):
    """A project; `snapshot` is its newest source."""

    name: str
    snapshot: str | None
    created_at: str


class ProjectPage(Answer):
    """Projects in order of name."""

    projects: list[ProjectResource]
    next_page_token: str | None


class SnapshotResource(Answer):
    """A snapshot that is a project's source."""

    project: str
    snapshot: str
    files: int
    bytes: int


class MissingBlobs(Answer):
    """Digests that are not stored."""

    missing: list[str]


class StoredBlobs(Answer):
    """How many blobs were stored."""

    stored: int


class AttemptResource(Answer):
    """One try on one machine."""

    epoch: int
    state: str
    machine: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    cause: dict[str, Any] | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None


class RunOutputs(Answer):
    """The result of a run: a snapshot, or none yet."""

    manifest: str | None
    files: int
    bytes: int


class RunResource(Answer):
    """A run."""

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
    attempts: list[AttemptResource]
    outputs: RunOutputs | None
    timeline: dict[str, float]
    rerun_of: str | None
    version: int


class RunPage(Answer):
    """Runs, newest first."""

    runs: list[RunResource]
    next_page_token: str | None


class RunEvents(Answer):
    """Facts of a run."""

    events: list[dict[str, Any]]
    over: bool


class RunLogs(Answer):
    """Chunks of a run's log."""

    chunks: list[dict[str, Any]]
    cursor: str | None
    over: bool


class Changes(Answer):
    """Facts about all runs of an owner."""

    events: list[dict[str, Any]]
    cursor: str | None


class PlatformStatus(Answer):
    """Services by name with their version, and how many runs there are in each state."""

    services: dict[str, dict[str, Any]]
    runs: dict[str, int]


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    request_id: str
    errors: list[dict[str, str]] | None = None
