"""Requests in memory: a function of the history, and nothing else."""

from dataclasses import dataclass, replace

from cynthus.events import (
    AttemptLost,
    Event,
    MachineDelayed,
    MachineReleased,
    MachineRequested,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.provisioner.ports import Waiting


@dataclass(frozen=True, slots=True)
class _Request:
    stage: str = "waiting"
    delayed: bool = False


class MemoryRequests:
    """Stages by (run, epoch), in the order they were asked."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], _Request] = {}

    def waiting(self) -> list[Waiting]:
        """Requests without a machine, oldest first."""
        return [
            Waiting(*key, request.delayed)
            for key, request in self._requests.items()
            if request.stage == "waiting"
        ]

    def follow(self, event: Event) -> None:
        """One fact. Whatever is said of an epoch ends those before it."""
        if isinstance(event, MachineRequested | MachineReleased | AttemptLost):
            self._supersede(event.run_id, event.epoch)
        match event:
            case MachineRequested(run_id=run_id, epoch=epoch):
                self._requests[run_id, epoch] = _Request()
            case MachineDelayed(run_id=run_id, epoch=epoch) if (run_id, epoch) in self._requests:
                delayed = replace(self._requests[run_id, epoch], delayed=True)
                self._requests[run_id, epoch] = delayed
            case VMReady(run_id=run_id, epoch=epoch):
                self._end(run_id, epoch, "served")
            case MachineReleased(run_id=run_id, epoch=epoch):
                self._end(run_id, epoch, "released")
            case AttemptLost(run_id=run_id, epoch=epoch):
                self._end(run_id, epoch, "released", only=("waiting", "served"))
            case VMFailed(run_id=run_id, epoch=epoch):
                self._end(run_id, epoch, "failed")
            case VMLost(run_id=run_id, epoch=epoch):
                self._end(run_id, epoch, "lost")
            case _:
                return

    def _supersede(self, run_id: str, newest: int) -> None:
        for run, epoch in list(self._requests):
            if run == run_id and epoch < newest:
                self._end(run, epoch, "released", only=("waiting",))

    def _end(self, run_id: str, epoch: int, stage: str, only: tuple[str, ...] = ()) -> None:
        request = self._requests.get((run_id, epoch))
        if request is not None and (not only or request.stage in only):
            self._requests[run_id, epoch] = replace(request, stage=stage)
