"""Leases on PostgreSQL: one statement each, by the database's clock."""

from collections.abc import Sequence
from datetime import datetime

from cynthus.orchestrator.ports import Renewal, Silence
from cynthus.store.database import Database

_RENEW = """
    UPDATE orchestrator.leases AS lease
    SET expires_at = now() + make_interval(secs => $5), renewed_at = now(),
        cpu_seconds = beat.cpu_seconds, memory_bytes = beat.memory_bytes
    FROM unnest($1::text[], $2::int[], $3::float8[], $4::int8[])
        AS beat(run_id, epoch, cpu_seconds, memory_bytes)
    WHERE lease.run_id = beat.run_id AND lease.epoch = beat.epoch AND NOT lease.expired
    RETURNING lease.run_id, lease.epoch, lease.stop"""
_EXPIRE = """
    UPDATE orchestrator.leases SET expired = true WHERE expires_at < $1 OR expired RETURNING run_id, epoch"""
_EXTEND = """
    UPDATE orchestrator.leases
    SET expires_at = greatest(expires_at + make_interval(secs => $1), now() + make_interval(secs => $2)),
        renewed_at = CASE WHEN renewed_at IS NOT NULL THEN now() END
    WHERE NOT expired"""
_SILENT = """
    UPDATE orchestrator.leases AS lease SET suspected_at = $1::timestamptz
    WHERE NOT expired AND renewed_at < $1::timestamptz - make_interval(secs => $2)
        AND (suspected_at IS NULL OR suspected_at < renewed_at)
    RETURNING run_id, epoch, extract(epoch FROM $1::timestamptz - renewed_at)::float8 AS seconds"""
_OPEN = "SELECT count(*) FROM orchestrator.leases WHERE NOT expired"


class PostgresLeases:
    """The rows are opened and closed by history; here they are renewed and run out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, renewals: Sequence[Renewal], lease_s: float) -> dict[tuple[str, int], str | None]:
        """Extend the leases that count, in one statement."""
        # Always in the same order: two statements over the same rows cannot wait for each other.
        ordered = sorted(renewals, key=lambda renewal: (renewal.run_id, renewal.epoch))
        columns = (
            [renewal.run_id for renewal in ordered],
            [renewal.epoch for renewal in ordered],
            [renewal.cpu_seconds for renewal in ordered],
            [renewal.memory_bytes for renewal in ordered],
        )
        async with self._database.connection() as connection:
            rows = await connection.fetch(_RENEW, *columns, lease_s)
        return {(row["run_id"], row["epoch"]): row["stop"] for row in rows}

    async def expire(self, now: datetime) -> list[tuple[str, int]]:
        """Close the leases that ended before `now`: no beat can open one again."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_EXPIRE, now)
        return [(row["run_id"], row["epoch"]) for row in rows]

    async def extend(self, by_s: float, *, at_least_s: float) -> None:
        """Put the end of every open lease off; silence begins anew."""
        async with self._database.connection() as connection:
            await connection.execute(_EXTEND, by_s, at_least_s)

    async def silent(self, now: datetime, after_s: float) -> list[Silence]:
        """Those not heard for `after_s`, each silence once."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SILENT, now, after_s)
        return [Silence(row["run_id"], row["epoch"], row["seconds"]) for row in rows]

    async def count(self) -> int:
        """How many are open."""
        async with self._database.connection() as connection:
            count: int = await connection.fetchval(_OPEN)
        return count
