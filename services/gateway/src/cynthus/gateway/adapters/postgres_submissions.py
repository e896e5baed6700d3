"""Accepted runs in PostgreSQL: a projection, written in the transaction that records a run."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import orjson

from cynthus.events import RunQueued, RunRequested
from cynthus.gateway.ports import Accepted, KeyTaken, RunFilter, Untaken
from cynthus.store.database import Connection, Database
from cynthus.store.ports import Recorded

_ADD = """
    INSERT INTO gateway.submissions
        (run_id, owner, project, name, name_generated, idempotency_key, request_digest, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING"""
_ACKNOWLEDGE = "UPDATE gateway.submissions SET acknowledged = true WHERE run_id = $1"
_ACCEPTED = """
    SELECT s.created_at, e.data::text AS data FROM gateway.submissions s
    JOIN gateway.events e ON e.stream = 'run-' || s.run_id AND e.version = 1"""
_BY_KEY = f"{_ACCEPTED} WHERE s.owner = $1 AND s.idempotency_key = $2"
_PENDING = f"""{_ACCEPTED}
    WHERE s.owner = $1 AND NOT s.acknowledged AND (s.name = $2 OR starts_with(s.run_id, $3))
    ORDER BY s.run_id DESC LIMIT 1"""
_LIST = f"""{_ACCEPTED}
    WHERE s.owner = $1 AND NOT s.acknowledged
      AND ($2::text IS NULL OR s.project = $2) AND ($3::text IS NULL OR s.name = $3)
    ORDER BY s.run_id DESC LIMIT $4"""
_UNTAKEN = """
    SELECT s.run_id, s.owner, s.project, s.name, e.data::text AS data FROM gateway.submissions s
    JOIN gateway.events e ON e.stream = 'run-' || s.run_id AND e.version = 1
    WHERE NOT s.acknowledged AND s.created_at < $1 AND s.run_id > $2 ORDER BY s.run_id LIMIT $3"""
_NEXT_NUMBER = """
    SELECT 1 + coalesce(max(substring(name FROM '[0-9]+$')::bigint), 0) FROM gateway.submissions
    WHERE owner = $1 AND project = $2 AND name_generated AND starts_with(name, $3 || '-')"""
_MIN_PREFIX = 8
_NOTHING = "\n"


class PostgresSubmissions:
    """The projection `submissions` and the questions asked of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Keep the table in step. Raises KeyTaken, which undoes the append."""
        for fact in recorded:
            match fact.envelope.event:
                case RunRequested() as requested:
                    await _add(connection, requested, fact)
                case RunQueued() as queued:
                    await connection.execute(_ACKNOWLEDGE, queued.run_id)
                case _:
                    pass

    async def reset(self, connection: Connection) -> None:
        """Empty the table."""
        await connection.execute("DELETE FROM gateway.submissions")

    async def by_key(self, owner: str, key: str) -> Accepted | None:
        """The run accepted under an idempotency key."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_BY_KEY, owner, key)
        return _accepted(row) if row else None

    async def next_number(self, owner: str, project: str, stem: str) -> int:
        """The first free number of a generated name."""
        async with self._database.connection() as connection:
            number: int = await connection.fetchval(_NEXT_NUMBER, owner, project, stem)
        return number

    async def pending(self, owner: str, reference: str) -> Accepted | None:
        """The newest run by id, prefix of an id, or name that history has not taken over."""
        prefix = reference if len(reference) >= _MIN_PREFIX else _NOTHING
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_PENDING, owner, reference, prefix)
        return _accepted(row) if row else None

    async def list_pending(self, owner: str, wanted: RunFilter, *, limit: int) -> list[Accepted]:
        """Runs that history has not taken over, newest first."""
        if wanted.states and "QUEUED" not in wanted.states:
            return []
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LIST, owner, wanted.project, wanted.name, limit)
        labels = {tuple(label.partition(":")[::2]) for label in wanted.labels}
        found = [_accepted(row) for row in rows]
        return [accepted for accepted in found if labels <= set(accepted.requested.labels.items())]

    async def untaken(self, before: datetime, *, after: str, limit: int) -> list[Untaken]:
        """Anybody's runs accepted before then that history has not taken over, by id."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_UNTAKEN, before, after, limit)
        return [
            Untaken(row["run_id"], row["owner"], row["project"], row["name"], orjson.loads(row["data"]))
            for row in rows
        ]


async def _add(connection: Connection, requested: RunRequested, fact: Recorded) -> None:
    status = await connection.execute(
        _ADD,
        requested.run_id,
        requested.owner,
        requested.project,
        requested.name,
        requested.name_generated,
        requested.idempotency_key,
        requested.request_digest,
        fact.envelope.time,
    )
    if status == "INSERT 0 0":
        raise KeyTaken(requested.run_id)


def _accepted(row: asyncpg.Record) -> Accepted:
    return Accepted(RunRequested.model_validate(orjson.loads(row["data"])), row["created_at"])
