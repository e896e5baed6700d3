"""The inbox on PostgreSQL."""

from collections.abc import Collection, Sequence

import asyncpg

from cynthus.store.database import Database
from cynthus.store.inbox import Tries
from cynthus.store.parked import NotParked, Parked
from cynthus.store.statements import in_schema
from cynthus.store.storable import storable_text

_COUNT = """
INSERT INTO @.inbox AS inbox (consumer, event_id, attempts) VALUES ($1, $2, 1)
ON CONFLICT (consumer, event_id) DO UPDATE SET attempts = inbox.attempts + (inbox.handled_at IS NULL)::int
RETURNING attempts, handled_at IS NOT NULL AS handled, last_error"""

_FAIL = """
INSERT INTO @.inbox AS inbox (consumer, event_id, attempts, last_error) VALUES ($1, $2, $3, $4)
ON CONFLICT (consumer, event_id) DO UPDATE
    SET attempts = inbox.attempts + excluded.attempts, last_error = excluded.last_error
RETURNING attempts"""

_DONE = """
SELECT event_id FROM @.inbox
WHERE consumer = $1 AND event_id = ANY($2::text[]) AND handled_at IS NOT NULL
UNION ALL
SELECT event_id FROM @.parked WHERE consumer = $1 AND event_id = ANY($2::text[])"""

_PARK = """
INSERT INTO @.parked (consumer, event_id, envelope, reason, attempts) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (consumer, event_id) DO UPDATE SET reason = excluded.reason, attempts = excluded.attempts"""

_LIST = """
SELECT consumer, event_id, envelope, reason, attempts, parked_at FROM @.parked
WHERE consumer = $1 AND event_id = coalesce($2, event_id) ORDER BY parked_at, event_id"""

_UNPARK = """
WITH gone AS (DELETE FROM @.parked WHERE consumer = $1 AND event_id = $2)
UPDATE @.inbox SET attempts = 0 WHERE consumer = $1 AND event_id = $2"""


class PostgresInbox:
    """In the same schema as the event store, whose appends mark what is handled."""

    def __init__(self, database: Database, *, schema: str) -> None:
        self._database = database
        self._count = in_schema(_COUNT, schema)
        self._fail = in_schema(_FAIL, schema)
        self._done = in_schema(_DONE, schema)
        self._park = in_schema(_PARK, schema)
        self._list = in_schema(_LIST, schema)
        self._unpark = in_schema(_UNPARK, schema)

    async def count(self, consumer: str, message_id: str) -> Tries:
        """Count an attempt before it begins."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._count, consumer, storable_text(message_id))
        assert row is not None
        return Tries(row["attempts"], row["handled"], row["last_error"])

    async def fail(self, consumer: str, message_id: str, error: str, *, counted: bool) -> int:
        """Remember a failure."""
        message_id, error = storable_text(message_id), storable_text(error)
        async with self._database.connection() as connection:
            attempts = await connection.fetchval(self._fail, consumer, message_id, int(not counted), error)
        return int(attempts)

    async def done(self, consumer: str, message_ids: Collection[str]) -> frozenset[str]:
        """Those that need nothing more, in one query."""
        by_stored = {storable_text(message_id): message_id for message_id in message_ids}
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._done, consumer, list(by_stored))
        return frozenset(by_stored[row["event_id"]] for row in rows)

    async def park(self, parked: Parked) -> None:
        """Put a message aside."""
        values = (parked.consumer, parked.message_id, parked.document, parked.reason, parked.attempts)
        async with self._database.connection() as connection:
            await connection.execute(self._park, *values)

    async def parked(self, consumer: str) -> Sequence[Parked]:
        """Everything put aside."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._list, consumer, None)
        return [_parked(row) for row in rows]

    async def find(self, consumer: str, message_id: str) -> Parked:
        """One of them."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._list, consumer, message_id)
        if row is None:
            raise NotParked(message_id)
        return _parked(row)

    async def unpark(self, consumer: str, message_id: str) -> None:
        """Forget it."""
        async with self._database.connection() as connection:
            await connection.execute(self._unpark, consumer, message_id)


def _parked(row: "asyncpg.Record") -> Parked:
    return Parked(
        consumer=row["consumer"],
        message_id=row["event_id"],
        document=row["envelope"],
        reason=row["reason"],
        attempts=row["attempts"],
        parked_at=row["parked_at"],
    )
