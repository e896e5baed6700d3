"""The event bus on PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from cynthus.bus.batches import batches
from cynthus.bus.pace import Pace
from cynthus.bus.ports import BusUnavailable, Handler
from cynthus.bus.postgres.queue import Queue
from cynthus.bus.postgres.subscription import Subscription
from cynthus.bus.postgres.tables import SCHEMA, ddl
from cynthus.events import Envelope, Event
from cynthus.events.codec import to_json
from cynthus.store.database import Database
from cynthus.store.ports import StoreUnavailable

_MOST_ITEMS = 5_000
_MOST_BYTES = 16 * 2**20
_DDL_LOCK = 0x62757331

_PUBLISH = """
WITH added AS (
    INSERT INTO bus.messages (subscriber, type, data)
    SELECT subscriptions.subscriber, facts.type, facts.data
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS facts (type, data, number)
    JOIN bus.subscriptions USING (type)
    ORDER BY facts.number
    RETURNING subscriber
)
SELECT pg_notify('bus_' || subscriber, '') FROM (SELECT DISTINCT subscriber FROM added) AS woken
"""

_ENSURE = """
INSERT INTO bus.subscriptions (subscriber, type) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class _Fact:
    type: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


class PostgresBus:
    """Facts are rows, one per subscriber, from the commit of `publish` until they are acknowledged."""

    def __init__(self, database: Database, *, pace: Pace | None = None) -> None:
        self._database = database
        self._pace = pace or Pace()

    async def open(self) -> None:
        """Make the tables if they are missing; safe when many processes start at once."""
        async with self._database.transaction() as connection:
            if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.messages_waiting") is not None:
                return
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _DDL_LOCK)
            for statement in ddl():
                await connection.execute(statement)

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        """Insert one row per fact and subscriber and wake the subscribers, in one round trip."""
        facts = [_Fact(envelope.type, to_json(envelope)) for envelope in envelopes]
        try:
            for group in batches(facts, most_items=_MOST_ITEMS, most_bytes=_MOST_BYTES):
                async with self._database.connection() as connection:
                    await connection.fetch(
                        _PUBLISH, [fact.type for fact in group], [fact.data for fact in group]
                    )
        except StoreUnavailable as error:
            raise BusUnavailable(str(error)) from error

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

    @asynccontextmanager
    async def _subscribed(
        self, subscriber: str, types: Sequence[type[Event]], handler: Handler, concurrency: int
    ) -> AsyncIterator[None]:
        await self.ensure(subscriber, types)
        queue = Queue(self._database, subscriber, [event.ce_type() for event in types], self._pace.lease_s)
        subscription = Subscription(queue, handler, concurrency, self._pace)
        async with self._database.wakeups(f"bus_{subscriber}") as wakeup, subscription.running(wakeup):
            yield


@asynccontextmanager
async def open_postgres_bus(database: Database, *, pace: Pace | None = None) -> AsyncIterator[PostgresBus]:
    """The bus on its own schema of a database, ready for use."""
    bus = PostgresBus(database, pace=pace)
    await bus.open()
    yield bus
