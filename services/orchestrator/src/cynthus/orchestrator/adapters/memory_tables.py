"""What the orchestrator's tables hold, in memory: runs as their history tells them, and their leases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cynthus.orchestrator.domain.evolve import evolve
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.domain.rhythm import UNHEARD_LEASES
from cynthus.orchestrator.domain.run import Run, State
from cynthus.orchestrator.ports import LogChunk
from cynthus.store.clock import Clock, utc_now
from cynthus.store.ports import Recorded

_LEASED = frozenset({State.STARTING, State.RUNNING, State.TERMINATING, State.UPLOADING})


@dataclass(slots=True)
class Lease:
    """The right of one attempt to speak for its run."""

    machine: str
    expires_at: datetime
    stop: str | None = None
    expired: bool = False
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    renewed_at: datetime | None = None
    suspected_at: datetime | None = None


class MemoryTables:
    """A projection of a memory store; the adapters of the ports look into it."""

    def __init__(self, limits: Limits, lease_s: float, clock: Clock = utc_now) -> None:
        self.limits = limits
        self.clock = clock
        self.runs: dict[str, Run] = {}
        self.hidden: set[str] = set()
        self.leases: dict[tuple[str, int], Lease] = {}
        self.chunks: dict[tuple[str, int], list[LogChunk]] = {}
        self._lease_s = lease_s

    def check(self, recorded: Sequence[Recorded]) -> None:
        """Nothing is refused."""

    def apply(self, recorded: Sequence[Recorded]) -> None:
        """Write what the facts mean."""
        before: dict[str, Run] = {}
        for fact in recorded:
            run_id = fact.envelope.stream.removeprefix("run-")
            run = self.runs.get(run_id) or Run(id=run_id)
            before.setdefault(run_id, run)
            self.runs[run_id] = evolve(run, fact.envelope.event, fact.envelope.time)
        for run_id, run in before.items():
            self._lease(run, self.runs[run_id])

    def reset(self) -> None:
        """Forget the runs; leases stay, since only workers can renew them."""
        self.runs.clear()

    def visible(self, owner: str, run_id: str) -> Run | None:
        """An owner's run that was not deleted."""
        run = self.runs.get(run_id)
        return run if run is not None and run.owner == owner and run_id not in self.hidden else None

    def _lease(self, before: Run, after: Run) -> None:
        wanted = _leased(after)
        if wanted == _leased(before):
            return
        for key in [key for key in self.leases if key[0] == after.id]:
            if wanted is None or key[1] != wanted[0]:
                del self.leases[key]
        if wanted is None:
            return
        epoch, machine, stop, heard = wanted
        seconds = self._lease_s * (1 if heard else UNHEARD_LEASES)
        ends = self.clock() + timedelta(seconds=seconds)
        lease = self.leases.setdefault((after.id, epoch), Lease(machine, ends))
        lease.stop = stop
        if heard:
            lease.expires_at = ends


def _leased(run: Run) -> tuple[int, str, str | None, bool] | None:
    attempt = run.current
    if attempt is None or attempt.machine is None or run.state not in _LEASED:
        return None
    heard = attempt.started_at is not None or attempt.exited_at is not None
    return attempt.epoch, attempt.machine, "cancelled" if run.cancel_reason is not None else None, heard
