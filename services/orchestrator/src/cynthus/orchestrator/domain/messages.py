"""What the run's state machine can be told, beside facts of other services; and its refusals."""

from dataclasses import dataclass, field

from cynthus.events import (
    AttemptExited,
    AttemptStarted,
    BuildFailed,
    CheckpointSaved,
    DatasetFailed,
    DatasetReady,
    ImageBuilt,
    MachineDelayed,
    RunCancelRequested,
    RunRequested,
    VMDeleted,
    VMFailed,
    VMLost,
    VMReady,
)


class Fenced(Exception):
    """This attempt is not, or no longer, the one that counts: whoever speaks for it must stop."""


@dataclass(frozen=True, slots=True)
class FinishAttempt:
    """The worker has delivered everything: the exit, the log to the last byte, the outputs' manifest."""

    exited: AttemptExited
    machine: str
    manifest: str
    files: int
    bytes: int
    log_chunks: int = 0
    log_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportExit:
    """The worker saw the user's process end."""

    exited: AttemptExited
    machine: str


@dataclass(frozen=True, slots=True)
class ReportCheckpoint:
    """The worker has stored a state of the user's program."""

    saved: CheckpointSaved
    machine: str


@dataclass(frozen=True, slots=True)
class SuspectAttempt:
    """The worker of this attempt was not heard for so many seconds: its provider is to be asked."""

    epoch: int
    silent_s: float


@dataclass(frozen=True, slots=True)
class ExpireLease:
    """The worker of this attempt was not heard for a whole lease."""

    epoch: int


@dataclass(frozen=True, slots=True)
class CheckTime:
    """Time has passed: a retry may be due, a deadline behind us."""


@dataclass(frozen=True, slots=True)
class RefuseRun:
    """What asked for the run could not be handled, however often it was tried."""

    requested: RunRequested
    reason: str


OtherServicesFact = (
    RunRequested
    | RunCancelRequested
    | ImageBuilt
    | BuildFailed
    | DatasetReady
    | DatasetFailed
    | MachineDelayed
    | VMReady
    | VMFailed
    | VMLost
    | VMDeleted
)
WorkersReport = AttemptStarted | ReportCheckpoint | ReportExit | FinishAttempt
Message = OtherServicesFact | WorkersReport | SuspectAttempt | ExpireLease | CheckTime | RefuseRun
