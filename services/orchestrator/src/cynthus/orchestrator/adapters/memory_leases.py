"""Leases in memory."""

from datetime import datetime, timedelta

from cynthus.orchestrator.adapters.memory_tables import MemoryTables
from cynthus.orchestrator.domain.messages import Fenced


class MemoryLeases:
    """The Leases port."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def renew(
        self, run_id: str, epoch: int, lease_s: float, *, cpu_seconds: float, memory_bytes: int
    ) -> str | None:
        """Extend a lease and tell whether to stop, and why. Raises Fenced."""
        lease = self._tables.leases.get((run_id, epoch))
        if lease is None or lease.expired:
            raise Fenced(f"attempt {epoch} of {run_id} does not count")
        lease.expires_at = self._tables.clock() + timedelta(seconds=lease_s)
        lease.cpu_seconds, lease.memory_bytes = cpu_seconds, memory_bytes
        return lease.stop

    async def expire(self, now: datetime) -> list[tuple[str, int]]:
        """Close the leases that ended before `now`: no beat can open one again."""
        ended = [key for key, lease in self._tables.leases.items() if lease.expires_at < now or lease.expired]
        for key in ended:
            self._tables.leases[key].expired = True
        return ended

    async def extend(self, lease_s: float) -> None:
        """Give every open lease another `lease_s`."""
        now, more = self._tables.clock(), timedelta(seconds=lease_s)
        for lease in self._tables.leases.values():
            if not lease.expired:
                lease.expires_at = max(lease.expires_at, now) + more
