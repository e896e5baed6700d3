"""Leases on PostgreSQL: one statement each, by the database's clock."""

from datetime import datetime

from cynthus.orchestrator.domain.messages import Fenced
from cynthus.store.database import Database

_RENEW = """
    UPDATE orchestrator.leases
    SET expires_at = now() + make_interval(secs => $3), cpu_seconds = $4, memory_bytes = $5
    WHERE run_id = $1 AND epoch = $2 AND NOT expired RETURNING stop"""
_EXPIRE = """
    UPDATE orchestrator.leases SET expired = true WHERE expires_at < $1 OR expired RETURNING run_id, epoch"""
_EXTEND = """
    UPDATE orchestrator.leases
    SET expires_at = greatest(expires_at, now()) + make_interval(secs => $1) WHERE NOT expired"""


class PostgresLeases:
    """The rows are opened and closed by history; here they are renewed and run out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(
        self, run_id: str, epoch: int, lease_s: float, *, cpu_seconds: float, memory_bytes: int
    ) -> str | None:
        """Extend a lease and tell whether to stop, and why. Raises Fenced; nothing is written then."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_RENEW, run_id, epoch, lease_s, cpu_seconds, memory_bytes)
        if row is None:
            raise Fenced(f"attempt {epoch} of {run_id} does not count")
        stop: str | None = row["stop"]
        return stop

    async def expire(self, now: datetime) -> list[tuple[str, int]]:
        """Close the leases that ended before `now`: no beat can open one again."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_EXPIRE, now)
        return [(row["run_id"], row["epoch"]) for row in rows]

    async def extend(self, lease_s: float) -> None:
        """Give every open lease another `lease_s`."""
        async with self._database.connection() as connection:
            await connection.execute(_EXTEND, lease_s)
