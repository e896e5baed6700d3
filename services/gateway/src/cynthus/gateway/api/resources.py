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


class Suspicion(Answer):
    """When a worker had been silent, and for how long."""

    time: str
    silent_s: float


class Checkpoint(Answer):
    """A state that another attempt can go on from; `manifest` is its snapshot's digest."""

    time: str
    manifest: str
    files: int
    bytes: int


class RunOutputs(Answer):
    """The result of a run: a snapshot, or none yet."""

    manifest: str | None
    files: int
    bytes: int


class AttemptResource(Answer):
    """One try on one machine; `then` says what was done about its end."""

    epoch: int
    state: str
    machine: str | None = None
    reused: bool = False
    requested_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    cause: dict[str, Any] | None = None
    then: str | None = None
    suspected: Suspicion | None = None
    checkpoint: Checkpoint | None = None
    machine_deleted_at: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    outputs: RunOutputs | None = None
    log_bytes: dict[str, int] | None = None


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


class Link(Answer):
    """A fact that led to a run's state: a sentence, and the versions of those that led to it."""

    version: int
    id: str
    time: str
    kind: str
    actor: str | None
    text: str
    because: list[int]
    data: dict[str, Any]


class RunWhy(Answer):
    """The present state of a run and the facts behind it, oldest first."""

    run: str
    state: str
    chain: list[Link]


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


class ImageLayer(Answer):
    """A layer; `size` in bytes as it is moved, `package` for a wheel that has one of its own."""

    digest: str
    kind: str
    size: int
    package: str | None


class ImageResource(Answer):
    """An image; `digest` names the complete one, `repository` where the registry has it."""

    digest: str
    reference: str | None
    repository: str
    project: str
    runtime: str
    python: str
    platform: str
    base: str | None
    size: int
    packages: int
    created_at: str
    command: list[str]
    layers: list[ImageLayer]
    min_driver: str | None
    notes: list[str]


class ImagePage(Answer):
    """Images, newest first."""

    images: list[ImageResource]
    next_page_token: str | None


class GpuResource(Answer):
    """A GPU that runs can ask for."""

    name: str
    memory_bytes: int


class MachineResource(Answer):
    """What the largest machine can do; `driver` is NVIDIA's."""

    runtimes: list[str]
    gpus: list[GpuResource]
    driver: str | None


class PlatformStatus(Answer):
    """Services by name with state and version, what machines can do, and the caller's runs by state."""

    services: dict[str, dict[str, Any]]
    machine: MachineResource | None
    runs: dict[str, int]


class Leak(Answer):
    """A machine that outlived its need."""

    machine: str
    zone: str
    since: str
    reason: str
    age_s: float


class LeakReport(Answer):
    """Machines left behind, when the provider was asked, and how many machines it listed."""

    leaks: list[Leak]
    checked_at: str
    machines: int


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
