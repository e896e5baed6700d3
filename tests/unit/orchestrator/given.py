"""Facts of one run, and a run that has heard some of them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cynthus.events import (
    AttemptExited,
    AttemptStarted,
    BuildFailed,
    Cause,
    CheckpointSaved,
    DataMount,
    Dataset,
    DatasetFailed,
    DatasetReady,
    Event,
    Image,
    ImageBuilt,
    MachineDelayed,
    RunCancelRequested,
    RunRequested,
    RunSpec,
    VMDeleted,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.orchestrator.domain.decide import decide
from cynthus.orchestrator.domain.evolve import evolve
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.messages import FinishAttempt, Message, ReportCheckpoint, ReportExit
from cynthus.orchestrator.domain.run import Run

RUN = "run_1"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = Limits(machines_are_free=True)
DATA = DataMount(source="./data", snapshot="sha256:d", mount="data")
SPEC = RunSpec(snapshot="sha256:s", data=(DATA,))
OUTPUTS = "sha256:" + "0" * 64

TROUBLE = Cause(code="trouble", message="Something is wrong.")

BUILT = ImageBuilt(
    run_id=RUN,
    image=Image(digest="sha256:i", source="sha256:s", lock="sha256:l", python="3.11", command=("main.py",)),
)
UNBUILT = BuildFailed(run_id=RUN, cause=Cause(code="build_failed", message="No such package."))
FLAKY = BuildFailed(run_id=RUN, cause=TROUBLE, transient=True)
PINNED = DatasetReady(
    run_id=RUN,
    datasets=(Dataset(source="./data", mount="data", manifest="sha256:d", files=1, bytes=2),),
)
UNPINNED = DatasetFailed(run_id=RUN, cause=Cause(code="dataset_failed", message="No such data."))
CANCEL = RunCancelRequested(run_id=RUN)


def requested(
    *, retries: int = 0, timeout_s: float | None = None, data: bool = True, **retry: object
) -> RunRequested:
    wish = {"retries": retries, "timeout_s": timeout_s, "data": (DATA,) if data else (), **retry}
    spec = SPEC.model_copy(update=wish)
    return RunRequested(run_id=RUN, owner="ann", project="digits", name="digits-1", spec=spec)


def ready(epoch: int = 1, machine: str = "m1") -> VMReady:
    return VMReady(run_id=RUN, epoch=epoch, machine=machine)


def delayed(epoch: int = 1) -> MachineDelayed:
    return MachineDelayed(run_id=RUN, epoch=epoch, reason="all places are taken")


def unavailable(epoch: int = 1, *, transient: bool = False) -> VMFailed:
    cause = Cause(code="quota", message="The quota is used up.")
    return VMFailed(run_id=RUN, epoch=epoch, cause=cause, transient=transient)


def vanished(epoch: int = 1, machine: str = "m1") -> VMLost:
    cause = Cause(code="preempted", message="The machine was taken away.")
    return VMLost(run_id=RUN, epoch=epoch, machine=machine, cause=cause)


def deleted(machine: str = "m1") -> VMDeleted:
    return VMDeleted(run_id=RUN, machine=machine)


def started(epoch: int = 1, machine: str = "m1") -> AttemptStarted:
    return AttemptStarted(run_id=RUN, epoch=epoch, machine=machine, pid=7)


def exit_fact(
    epoch: int = 1, *, code: int | None = 0, signal: int | None = None, cause: Cause | None = None
) -> AttemptExited:
    return AttemptExited(run_id=RUN, epoch=epoch, exit_code=code, signal=signal, cause=cause)


def saved(epoch: int = 1, machine: str = "m1", *, manifest: str = "sha256:c") -> ReportCheckpoint:
    return ReportCheckpoint(
        CheckpointSaved(run_id=RUN, epoch=epoch, manifest=manifest, files=1, bytes=4), machine
    )


def exited(epoch: int = 1, machine: str = "m1", *, code: int | None = 0) -> ReportExit:
    return ReportExit(exit_fact(epoch, code=code), machine)


def finished(
    epoch: int = 1,
    machine: str = "m1",
    *,
    code: int | None = 0,
    signal: int | None = None,
    cause: Cause | None = None,
) -> FinishAttempt:
    exited = exit_fact(epoch, code=code, signal=signal, cause=cause)
    return FinishAttempt(exited, machine, OUTPUTS, files=1, bytes=2, log_chunks=1, log_bytes={"stdout": 3})


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def told(
    messages: Iterable[Message], *, run: Run | None = None, now: datetime = NOON, limits: Limits = LIMITS
) -> tuple[Run, list[Event]]:
    """The run after the messages, and everything that was appended."""
    run = run or Run(id=RUN)
    history: list[Event] = []
    for message in messages:
        events = decide(run, message, now=now, limits=limits)
        for event in events:
            run = evolve(run, event, now)
        history += events
    return run, history


def kinds(events: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in events]
