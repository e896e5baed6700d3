"""The event bus on PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from cynthus.bus.batches import batches
from cynthus.bus.pace import Pace
from cynthus.bus.ports import BusUnavailable, Handler
from cynthus.bus.postgres import functions
from cynthus.bus.postgres.handover import hand_over, reserve
from cynthus.bus.postgres.queue import Queue
from cynthus.bus.postgres.subscription import Subscription
from cynthus.events import Envelope, Event
from cynthus.events.codec import to_json
from cynthus.store.database import Database
from cynthus.store.ports import StoreUnavailable

_MOST_ITEMS = 5_000
_MOST_BYTES = 16 * 2**20
_DDL_LOCK = 0x62757331

# The commit does not wait for the disk. The event store is in the same server, so a crash that loses these
# rows loses every later commit too, the relay's checkpoint among them: the facts are published again.
_PUBLISH = """
WITH added AS (
    INSERT INTO bus.messages (subscriber, type, data, attempts, leased_until)
    SELECT subscriptions.subscriber, facts.type, facts.data, (taken.number IS NOT NULL)::int,
           CASE WHEN taken.number IS NOT NULL THEN now() + make_interval(secs => $5) END
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS facts (type, data, number)
    JOIN bus.subscriptions USING (type)
    LEFT JOIN unnest($3::text[], $4::bigint[]) AS taken (subscriber, number) USING (subscriber, number)
    CROSS JOIN (SELECT set_config('synchronous_commit', 'off', true)) AS commit_mode
    ORDER BY facts.number
    RETURNING id, subscriber, attempts
)
SELECT subscriber, id, NULL AS woken FROM added WHERE attempts = 1
UNION ALL
SELECT subscriber, NULL, pg_notify('bus_' || subscriber, '')::text
FROM (SELECT DISTINCT subscriber FROM added WHERE attempts = 0) AS waiting
"""

_ENSURE = """
INSERT INTO bus.subscriptions (subscriber, type) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class _Fact:
    envelope: Envelope
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


class PostgresBus:
    """Facts are rows, one per subscriber, from the commit of `publish` until they are acknowledged."""

    def __init__(self, database: Database, *, pace: Pace | None = None) -> None:
        self._database = database
        self._pace = pace or Pace()
        self._open_here: dict[str, list[Subscription]] = {}

    async def open(self) -> None:
        """Make tables and functions if they are missing; safe when many processes start at once."""
        async with self._database.transaction() as connection:
            if await connection.fetchval("SELECT to_regproc($1)", functions.ACKNOWLEDGE) is not None:
                return
            from cynthus.bus.postgres.tables import ddl

            await connection.execute("SELECT pg_advisory_xact_lock($1)", _DDL_LOCK)
            for statement in ddl():
                await connection.execute(statement)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Insert one row per fact and subscriber and wake the subscribers, in one round trip."""
        facts = [_Fact(envelope, to_json(envelope)) for envelope in envelopes]
        for group in batches(facts, most_items=_MOST_ITEMS, most_bytes=_MOST_BYTES):
            await self._insert(group)

    async def ensure(self, subscriber: str, types: Sequence[type[Event]]) -> None:
        """Subscribe a name to types; from now on every such fact is kept for it."""
        try:
            async with self._database.connection() as connection:
                await connection.execute(_ENSURE, subscriber, [event.ce_type() for event in types])
        except StoreUnavailable as error:
            raise BusUnavailable(str(error)) from error

    def on_loss(self, callback: Callable[[], None]) -> None:
        """The tables are as durable as the event store beside them, so the callback is never called."""

    def subscribe(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, *, concurrency: int = 16
    ) -> AbstractAsyncContextManager[None]:
        """Deliver while the context is open; leaving it waits for the handlers at work."""
        return self._subscribed(subscriber, types, handler, concurrency)

    async def _insert(self, group: Sequence[_Fact]) -> None:
        places = reserve(self._open_here, [fact.envelope for fact in group])
        rows: list[asyncpg.Record] = []
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(
                    _PUBLISH,
                    [fact.envelope.type for fact in group],
                    [fact.data for fact in group],
                    [place.subscriber for place in places],
                    [place.number for place in places],
                    self._pace.lease_s,
                )
        except StoreUnavailable as error:
            raise BusUnavailable(str(error)) from error
        finally:
            hand_over(places, [(row["subscriber"], row["id"]) for row in rows if row["id"] is not None])

    @asynccontextmanager
    async def _subscribed(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, concurrency: int
    ) -> AsyncIterator[None]:
        await self.ensure(subscriber, types)
        queue = Queue(self._database, subscriber, [event.ce_type() for event in types], self._pace.lease_s)
        subscription = Subscription(queue, handler, concurrency, self._pace)
        replicas = self._open_here.setdefault(subscriber, [])
        async with self._database.wakeups(f"bus_{subscriber}") as wakeup, subscription.running(wakeup):
            replicas.append(subscription)
            try:
                yield
            finally:
                replicas.remove(subscription)


@asynccontextmanager
async def open_postgres_bus(database: Database, *, pace: Pace | None = None) -> AsyncIterator[PostgresBus]:
    """The bus on its own schema of a database, ready for use."""
    bus = PostgresBus(database, pace=pace)
    await bus.open()
    yield bus
