"""Leases in memory."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cynthus.orchestrator.adapters.memory_tables import MemoryTables
from cynthus.orchestrator.ports import Renewal, Silence


class MemoryLeases:
    """The Leases port."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    async def renew(self, renewals: Sequence[Renewal], lease_s: float) -> dict[tuple[str, int], str | None]:
        """Extend the leases that count."""
        now, answer = self._tables.clock(), dict[tuple[str, int], str | None]()
        for renewal in renewals:
            key = (renewal.run_id, renewal.epoch)
            lease = self._tables.leases.get(key)
            if lease is None or lease.expired:
                continue
            lease.expires_at, lease.renewed_at = now + timedelta(seconds=lease_s), now
            lease.cpu_seconds, lease.memory_bytes = renewal.cpu_seconds, renewal.memory_bytes
            answer[key] = lease.stop
        return answer

    async def expire(self, now: datetime) -> list[tuple[str, int]]:
        """Close the leases that ended before `now`: no beat can open one again."""
        ended = [key for key, lease in self._tables.leases.items() if lease.expires_at < now or lease.expired]
        for key in ended:
            self._tables.leases[key].expired = True
        return ended

    async def extend(self, by_s: float, *, at_least_s: float) -> None:
        """Put the end of every open lease off; silence begins anew."""
        now, more = self._tables.clock(), timedelta(seconds=by_s)
        for lease in self._tables.leases.values():
            if not lease.expired:
                lease.expires_at = max(lease.expires_at + more, now + timedelta(seconds=at_least_s))
                lease.renewed_at = None if lease.renewed_at is None else now

    async def silent(self, now: datetime, after_s: float) -> list[Silence]:
        """Those not heard for `after_s`, each silence once."""
        found = list[Silence]()
        for (run_id, epoch), lease in self._tables.leases.items():
            heard, suspected = lease.renewed_at, lease.suspected_at
            if lease.expired or heard is None or heard >= now - timedelta(seconds=after_s):
                continue
            if suspected is None or suspected < heard:
                lease.suspected_at = now
                found.append(Silence(run_id, epoch, (now - heard).total_seconds()))
        return found

    async def count(self) -> int:
        """How many are open."""
        return sum(not lease.expired for lease in self._tables.leases.values())
