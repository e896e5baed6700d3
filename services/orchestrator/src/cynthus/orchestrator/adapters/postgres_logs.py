"""The index of log chunks on PostgreSQL."""

from datetime import datetime
from typing import TYPE_CHECKING

from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.ports import LogChunk, LogHead, LogPage, LogTotals
from cynthus.store.database import Database

if TYPE_CHECKING:
    import asyncpg

_NEXT_SEQ = """coalesce((SELECT max(seq) + 1 FROM orchestrator.log_chunks
                         WHERE run_id = $1 AND epoch = $2), 0)"""
_NEXT_OFFSET = """coalesce((SELECT start_offset + size FROM orchestrator.log_chunks
                            WHERE run_id = $1 AND epoch = $2 AND source = $3
                            ORDER BY seq DESC LIMIT 1), 0)"""


def _with_next(sql: str) -> str:
    return sql.replace("@next_seq", _NEXT_SEQ).replace("@next_offset", _NEXT_OFFSET)


_HEAD = _with_next("""
    SELECT @next_seq AS next_seq, @next_offset AS next_offset,
           same.source, same.start_offset, same.size
    FROM orchestrator.leases AS lease
    LEFT JOIN orchestrator.log_chunks AS same ON (same.run_id, same.epoch, same.seq) = ($1, $2, $4)
    WHERE lease.run_id = $1 AND lease.epoch = $2 AND NOT lease.expired""")
_ADD = _with_next("""
    WITH lease AS (
        SELECT 1 FROM orchestrator.leases
        WHERE run_id = $1 AND epoch = $2 AND NOT expired FOR KEY SHARE),
    added AS (
        INSERT INTO orchestrator.log_chunks (run_id, epoch, seq, source, start_offset, size)
        SELECT $1, $2, $4, $3, $5, $6 FROM lease WHERE @next_seq = $4 AND @next_offset = $5
        ON CONFLICT DO NOTHING RETURNING 1)
    SELECT EXISTS (SELECT FROM lease) AS counts, EXISTS (SELECT FROM added) AS added""")
_TOTALS = """
    SELECT source, count(*) AS chunks, max(start_offset + size) AS bytes
    FROM orchestrator.log_chunks WHERE run_id = $1 AND epoch = $2 GROUP BY source"""
_FIRST_AT = """
    SELECT at FROM orchestrator.log_chunks WHERE run_id = $1 AND epoch = $2 ORDER BY seq LIMIT 1"""
_PAGE = """
    SELECT run_id, epoch, seq, source, start_offset, size, at FROM orchestrator.log_chunks
    WHERE run_id = $1 AND (epoch, seq) > ($2::bigint, $3::bigint)
        AND ($5::text IS NULL OR source = $5) AND ($6::int IS NULL OR epoch = $6)
    ORDER BY epoch, seq LIMIT $4"""
_WATCH = """
    SELECT runs.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED') AS over, chunks.*
    FROM orchestrator.runs LEFT JOIN LATERAL (
        SELECT run_id, epoch, seq, source, start_offset, size, at FROM orchestrator.log_chunks
        WHERE run_id = runs.id AND (epoch, seq) > ($2::bigint, $3::bigint)
            AND ($5::text IS NULL OR source = $5) AND ($6::int IS NULL OR epoch = $6)
        ORDER BY epoch, seq LIMIT $4) AS chunks ON true
    WHERE runs.id = $1 AND runs.owner = $7
        AND NOT EXISTS (SELECT FROM orchestrator.hidden_runs AS hidden WHERE hidden.run_id = runs.id)
    ORDER BY chunks.epoch, chunks.seq"""


class PostgresLogIndex:
    """Each write checks the epoch's lease in its own statement, against a fence that is being raised too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, chunk: LogChunk) -> LogHead:
        """Where the log stands before this chunk. Raises Fenced."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_HEAD, chunk.run_id, chunk.epoch, chunk.source, chunk.seq)
        if row is None:
            raise _fenced(chunk)
        same = None
        if row["source"] is not None:
            same = LogChunk(
                chunk.run_id, chunk.epoch, chunk.seq, row["source"], row["start_offset"], row["size"]
            )
        return LogHead(row["next_seq"], row["next_offset"], same)

    async def add(self, chunk: LogChunk) -> bool:
        """Add the next chunk; False when it is not the next one. Raises Fenced."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                _ADD, chunk.run_id, chunk.epoch, chunk.source, chunk.seq, chunk.offset, chunk.size
            )
        if row is None or not row["counts"]:
            raise _fenced(chunk)
        added: bool = row["added"]
        return added

    async def totals(self, run_id: str, epoch: int) -> LogTotals:
        """All that is in the index."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_TOTALS, run_id, epoch)
        return LogTotals(sum(row["chunks"] for row in rows), {row["source"]: row["bytes"] for row in rows})

    async def first_at(self, run_id: str, epoch: int) -> datetime | None:
        """When the first chunk of an attempt arrived."""
        async with self._database.connection() as connection:
            at: datetime | None = await connection.fetchval(_FIRST_AT, run_id, epoch)
        return at

    async def page(
        self, run_id: str, after: tuple[int, int], limit: int, source: str | None, epoch: int | None
    ) -> list[LogChunk]:
        """Chunks after (epoch, seq), in that order."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_PAGE, run_id, *after, limit, source, epoch)
        return [_chunk(row) for row in rows]

    async def watch(
        self,
        owner: str,
        run_id: str,
        after: tuple[int, int],
        limit: int,
        *,
        source: str | None,
        epoch: int | None,
    ) -> LogPage | None:
        """Chunks and whether the run is over: one statement, so one moment."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_WATCH, run_id, *after, limit, source, epoch, owner)
        if not rows:
            return None
        return LogPage([_chunk(row) for row in rows if row["run_id"] is not None], rows[0]["over"])


def _chunk(row: "asyncpg.Record") -> LogChunk:
    return LogChunk(
        row["run_id"], row["epoch"], row["seq"], row["source"], row["start_offset"], row["size"], row["at"]
    )


def _fenced(chunk: LogChunk) -> Fenced:
    return Fenced(f"attempt {chunk.epoch} of {chunk.run_id} does not count")
