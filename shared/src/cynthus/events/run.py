"""Facts about runs. Add fields with defaults; never rename or remove one."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from cynthus.events.event import Event


class Part(BaseModel):
    """A value inside a fact: frozen and tolerant, like the fact itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DataMount(Part):
    """Data a run reads: a snapshot's digest and the path, relative to the project root, where it appears."""

    source: str
    snapshot: str
    mount: str


class Resources(Part):
    """What a run asks of its machine; None means no wish."""

    cpu: float | None = None
    memory_bytes: int | None = None
    gpu: str | None = None
    """A name with a count, `L4:1`, or memory, `24GB+`."""


class RunSpec(Part):
    """Everything asked for when a run was submitted. Secrets are named here, never held."""

    snapshot: str
    entry: str | None = None
    arguments: tuple[str, ...] = ()
    task: str | None = None
    data: tuple[DataMount, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    resources: Resources = Resources()
    timeout_s: float | None = None
    retries: int = 0
    """Attempts after the first that the user's own failures may have."""
    retry_on: tuple[str, ...] = ("preemption", "no_capacity", "infra", "failure")
    """Kinds of causes after which another attempt is made."""
    retry_backoff_s: float | None = None
    """Wait before the second attempt, doubling from there; None leaves it to the platform."""
    runtime: str | None = None
    """`process` or `container`; None leaves the choice to the platform."""


class Cause(Part):
    """Why a run or an attempt ended: a stable code, a sentence, what to do, and the evidence."""

    code: str
    message: str
    fix: str | None = None
    evidence: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None


class RunEvent(Event):
    """A fact about one run."""

    run_id: str

    @property
    def subject(self) -> str:
        """`runs/<run id>`."""
        return f"runs/{self.run_id}"


class RunRequested(RunEvent):
    """Gateway: somebody asked for a run and it was accepted."""

    kind: ClassVar[str] = "run.requested"
    owner: str
    project: str
    name: str
    labels: dict[str, str] = Field(default_factory=dict)
    spec: RunSpec
    rerun_of: str | None = None
    name_generated: bool = False
    idempotency_key: str | None = None
    request_digest: str | None = None


class RunCancelRequested(RunEvent):
    """Gateway: somebody asked for a run to be stopped."""

    kind: ClassVar[str] = "run.cancel-requested"
    reason: str = "cancelled by its owner"


class RunQueued(RunEvent):
    """Orchestrator: the run is known and will be driven to an end."""

    kind: ClassVar[str] = "run.queued"


class MachineRequested(RunEvent):
    """Orchestrator: an attempt needs a machine."""

    kind: ClassVar[str] = "machine.requested"
    epoch: int
    owner: str
    resources: Resources = Resources()
    runtime: str | None = None
    min_driver: str | None = None


class MachineReleased(RunEvent):
    """Orchestrator: an attempt needs its machine no longer."""

    kind: ClassVar[str] = "machine.released"
    epoch: int
    machine: str | None = None
    lost: bool = False
    """Whether the machine, or its worker, is lost or about to be: nobody else is given it."""


class AttemptStarted(RunEvent):
    """Worker: the user's process runs."""

    kind: ClassVar[str] = "attempt.started"
    epoch: int
    machine: str
    pid: int
    phases_ms: dict[str, float] = Field(default_factory=dict)


class AttemptSuspected(RunEvent):
    """Orchestrator: its worker was silent for so many seconds; its provider is asked, nothing is lost yet."""

    kind: ClassVar[str] = "attempt.suspected"
    epoch: int
    machine: str
    silent_s: float


class CheckpointSaved(RunEvent):
    """Worker: a state that another attempt can go on from is kept; `manifest` is its snapshot's digest."""

    kind: ClassVar[str] = "checkpoint.saved"
    epoch: int
    manifest: str
    files: int
    bytes: int


class AttemptExited(RunEvent):
    """Worker: the user's process ended; its logs and outputs may still be on their way."""

    kind: ClassVar[str] = "attempt.exited"
    epoch: int
    exit_code: int | None = None
    signal: int | None = None
    cause: Cause | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


class AttemptLost(RunEvent):
    """Orchestrator: an attempt is fenced; nothing it says counts any more."""

    kind: ClassVar[str] = "attempt.lost"
    epoch: int
    cause: Cause


class RetryScheduled(RunEvent):
    """Orchestrator: another attempt follows."""

    kind: ClassVar[str] = "run.retry-scheduled"
    epoch: int
    delay_s: float
    cause: Cause
    budget: str | None = None
    """Whose failures are counted: `user`, `infrastructure`, `preemption` or `capacity`."""
    used: int | None = None
    """How many of this budget are used, this one included."""
    allowed: int | None = None


class LogsSealed(RunEvent):
    """Orchestrator: the attempt's log is complete to the last byte."""

    kind: ClassVar[str] = "logs.sealed"
    epoch: int
    bytes_by_source: dict[str, int] = Field(default_factory=dict)
    chunks: int = 0


class OutputsCommitted(RunEvent):
    """Orchestrator: the attempt's outputs are complete; `manifest` is the digest of their snapshot."""

    kind: ClassVar[str] = "outputs.committed"
    epoch: int
    manifest: str
    files: int
    bytes: int


class RunSucceeded(RunEvent):
    """Orchestrator: exit code 0, logs sealed, outputs committed."""

    kind: ClassVar[str] = "run.succeeded"
    epoch: int


class RunFailed(RunEvent):
    """Orchestrator: the run is over, for a named cause."""

    kind: ClassVar[str] = "run.failed"
    epoch: int | None = None
    cause: Cause


class RunCancelled(RunEvent):
    """Orchestrator: the run was stopped because its owner asked."""

    kind: ClassVar[str] = "run.cancelled"
    epoch: int | None = None
    reason: str = "cancelled by its owner"


class Heartbeat(RunEvent):
    """Worker: a signal that an attempt is alive; published down-sampled, never stored."""

    kind: ClassVar[str] = "attempt.heartbeat"
    epoch: int
    machine: str
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
