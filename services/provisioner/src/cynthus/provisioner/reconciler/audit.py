"""The promise that no machine outlives its need, checked against the provider's own listing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cynthus.provisioner.domain.leaks import Leak, leaks
from cynthus.provisioner.domain.machine import Snapshot
from cynthus.provisioner.ports import Ledger, Machines, ProviderAway, Throttled
from cynthus.provisioner.reconciler.loop import Look, Reconciler


@dataclass(frozen=True, slots=True)
class Report:
    """Leaks, when the provider was asked, and how many machines of ours it listed."""

    leaks: list[Leak]
    checked_at: datetime
    machines: int


class Audit:
    """Reads only. `grace` is how long a machine may outlive its need."""

    def __init__(self, ledger: Ledger, machines: Machines, reconciler: Reconciler, grace: timedelta) -> None:
        self._ledger = ledger
        self._machines = machines
        self._reconciler = reconciler
        self._grace = grace

    async def leaks(self) -> Report:
        """By a listing made now, or the last one. Raises ProviderAway when there was none yet."""
        snapshot = await self._ledger.snapshot()
        look = await self._look(snapshot)
        lag = timedelta(seconds=self._machines.lag_s)
        found = leaks(snapshot.rows, look.listing, look.at, self._grace, lag)
        return Report(found, look.at, len(look.listing))

    async def snapshot(self) -> Snapshot:
        """The ledger."""
        return await self._ledger.snapshot()

    async def _look(self, snapshot: Snapshot) -> Look:
        try:
            return Look(snapshot.now, await self._machines.list())
        except (ProviderAway, Throttled):
            if self._reconciler.last_look is None:
                raise
            return self._reconciler.last_look
