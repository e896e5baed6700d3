"""A run as its history tells it: values only."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from cynthus.events import Cause, Dataset, Image, OutputsCommitted, RunSpec
from cynthus.orchestrator.domain.kinds import Budget, Kind, is_of_machine, kind_of


class State(StrEnum):
    """Where a run, or one of its attempts, stands."""

    QUEUED = "QUEUED"
    BUILDING = "BUILDING"
    PROVISIONING = "PROVISIONING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    UPLOADING = "UPLOADING"
    TERMINATING = "TERMINATING"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Build(_Value):
    """What ImageBuilt told beside the image."""

    packages: int = 0
    cached: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    phases_ms: dict[str, float] = Field(default_factory=dict)


class Checkpoint(_Value):
    """A state that a later attempt can go on from."""

    epoch: int
    manifest: str
    files: int
    bytes: int
    at: datetime


class Suspicion(_Value):
    """When a worker's silence was noticed, and how long it was."""

    at: datetime
    silent_s: float


class Again(_Value):
    """What follows an attempt: another one, out of a budget."""

    delay_s: float
    budget: str | None = None
    used: int | None = None
    allowed: int | None = None


class Attempt(_Value):
    """One try to execute a run. A placeholder (`requested_at` None) holds facts that came too early."""

    epoch: int
    requested_at: datetime | None = None
    machine: str | None = None
    reused: bool = False
    ready_at: datetime | None = None
    delayed: str | None = None
    surplus: tuple[str, ...] = ()
    released: tuple[str | None, ...] = ()
    gone: bool = False
    gone_at: datetime | None = None
    unavailable: Cause | None = None
    unavailable_for_good: bool = False
    vanished: Cause | None = None
    suspected: Suspicion | None = None
    again: Again | None = None
    started_at: datetime | None = None
    pid: int | None = None
    phases_ms: dict[str, float] = Field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    exited_at: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    exit_cause: Cause | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    log_bytes: dict[str, int] | None = None
    log_chunks: int = 0
    outputs: OutputsCommitted | None = None
    lost: Cause | None = None
    outcome: State | None = None
    ended_at: datetime | None = None

    @property
    def executing(self) -> bool:
        """A worker said that it runs, or ran, the user's process, and has not finished."""
        return (self.started_at is not None or self.exited_at is not None) and self.outcome is None

    @property
    def complete(self) -> bool:
        """Exited, its log sealed and its outputs committed."""
        return self.exited_at is not None and self.log_bytes is not None and self.outputs is not None

    @property
    def silent_s(self) -> float | None:
        """How long its worker was silent, if that was noticed."""
        return None if self.suspected is None else self.suspected.silent_s

    @property
    def failure(self) -> Cause | None:
        """Why this attempt brings no success, when that is known."""
        if self.lost is not None:
            return self.lost
        if self.unavailable is not None and self.machine is None:
            return self.unavailable
        return self.exit_cause if self.complete else None

    @property
    def kind(self) -> Kind | None:
        """The kind of the failure: by its cause, else by who told it."""
        cause = self.failure
        if cause is None:
            return None
        if cause is self.unavailable:
            return Kind.PERMANENT if self.unavailable_for_good else kind_of(cause.code, Kind.NO_CAPACITY)
        if self._found_disk_full:
            return Kind.INFRA
        return kind_of(cause.code, Kind.FAILURE if cause is self.exit_cause else Kind.INFRA)

    @property
    def spoilt(self) -> bool:
        """Its machine or worker is lost or going, or was not heard when last waited for."""
        if self.lost is not None or (self.suspected is not None and not self.complete):
            return True
        cause = self.exit_cause
        return cause is not None and (is_of_machine(cause.code) or self._found_disk_full)

    @property
    def _found_disk_full(self) -> bool:
        cause = self.failure
        return cause is not None and cause.code == "disk_full" and self.started_at is None


class Run(_Value):
    """Everything known about a run. `requested` is False while only other facts about it have come."""

    id: str = ""
    version: int = 0
    requested: bool = False
    queued: bool = False
    queued_at: datetime | None = None
    owner: str = ""
    project: str = ""
    name: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    spec: RunSpec = RunSpec(snapshot="")
    rerun_of: str | None = None
    created_at: datetime | None = None
    image: Image | None = None
    build: Build = Build()
    image_at: datetime | None = None
    build_cause: Cause | None = None
    build_failed: bool = False
    datasets: tuple[Dataset, ...] | None = None
    data_at: datetime | None = None
    data_cause: Cause | None = None
    cancel_reason: str | None = None
    epoch: int = 0
    attempts: dict[int, Attempt] = Field(default_factory=dict)
    retry_at: datetime | None = None
    used: dict[Budget, int] = Field(default_factory=dict)
    """Attempts made again out of each budget."""
    waiting_since: datetime | None = None
    """Since when no machine can be had; None once one came."""
    outcome: State | None = None
    cause: Cause | None = None
    since: datetime | None = None
    ended_at: datetime | None = None

    @property
    def over(self) -> bool:
        """A terminal state was reached; nothing changes it."""
        return self.outcome is not None

    @property
    def current(self) -> Attempt | None:
        """The newest attempt that was requested."""
        return self.attempts.get(self.epoch)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What the next attempt goes on from: the newest state of the newest attempt that saved one."""
        saved = [attempt.checkpoint for attempt in self.attempts.values() if attempt.checkpoint is not None]
        return max(saved, key=lambda checkpoint: checkpoint.epoch, default=None)

    @property
    def data_ready(self) -> bool:
        """Every dataset is pinned, or there is none."""
        return self.datasets is not None or not self.spec.data

    @property
    def state(self) -> State:
        """The state people see."""
        if self.outcome is not None:
            return self.outcome
        if not self.requested:
            return State.QUEUED
        if self.retry_at is not None:
            return State.RETRYING
        return self._state_of_attempt(self.current)

    def _state_of_attempt(self, attempt: Attempt | None) -> State:
        if attempt is not None and attempt.exited_at is not None:
            return State.UPLOADING
        if attempt is not None and attempt.started_at is not None:
            return State.RUNNING if self.cancel_reason is None else State.TERMINATING
        if self.image is None or not self.data_ready:
            return State.BUILDING
        return State.PROVISIONING if attempt is None or attempt.machine is None else State.STARTING

    def attempt_state(self, attempt: Attempt) -> State:
        """Where one attempt stands; STARTING is when a worker may be given the order."""
        if attempt.outcome is not None:
            return attempt.outcome
        if self.over or attempt.epoch != self.epoch:
            return State.QUEUED
        state = self.state
        return State.PROVISIONING if state in {State.BUILDING, State.RETRYING} else state
