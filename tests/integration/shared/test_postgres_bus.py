import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from cynthus.bus.backoff import Backoff
from cynthus.bus.pace import Pace
from cynthus.bus.ports import BusUnavailable, Delivery, EventBus, Undecodable
from cynthus.bus.postgres import PostgresBus, open_postgres_bus
from cynthus.events import Envelope, Event, RunQueued
from cynthus.store.database import Database, open_database
from tests.contracts.event_bus import PATIENCE_S, DurableEventBusContract, Inbox, fact

PACE = Pace(lease_s=1.0, poll_s=0.2, grace_s=0.5, pause_s=0.1, backoff=Backoff(first_s=0.005))

HOLDER = """
import asyncio
from cynthus.bus.backoff import Backoff
from cynthus.bus.pace import Pace
from cynthus.bus.postgres import open_postgres_bus
from cynthus.events import RunQueued
from cynthus.store.database import open_database

async def hold(arrival):
    print("taken", flush=True)
    await asyncio.Event().wait()

async def main():
    async with open_database({url!r}) as database, open_postgres_bus(database, pace={pace}) as bus:
        async with bus.subscribe({subscriber!r}, [RunQueued], hold):
            await asyncio.Event().wait()

asyncio.run(main())
"""


class PostgresBroker:
    lease_s = PACE.lease_s

    def __init__(self, database: Database) -> None:
        self.database = database

    def bus(self) -> EventBus:
        return PostgresBus(self.database, pace=PACE)

    async def put(self, event: type[Event], data: bytes) -> None:
        async with self.database.connection() as connection:
            await connection.execute(
                "INSERT INTO bus.messages (subscriber, type, data) "
                "SELECT subscriber, type, $2 FROM bus.subscriptions WHERE type = $1",
                event.ce_type(),
                data,
            )

    def holder(self, subscriber: str) -> str:
        return HOLDER.format(url=self.database.url, subscriber=subscriber, pace=PACE)


@pytest.fixture
async def broker(database_url: str) -> AsyncIterator[PostgresBroker]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(database_url))
        await stack.enter_async_context(open_postgres_bus(database))
        yield PostgresBroker(database)


class TestPostgresBus(DurableEventBusContract):
    pass


async def rows(database: Database) -> list[tuple[str, int, bool]]:
    """What waits: subscriber, attempts, and whether somebody holds it."""
    async with database.connection() as connection:
        found = await connection.fetch(
            "SELECT subscriber, attempts, coalesce(leased_until > now(), false) FROM bus.messages ORDER BY id"
        )
    return [tuple(row) for row in found]


class Gate:
    """A handler that waits to be let through."""

    def __init__(self) -> None:
        self.entered, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self, arrival: Delivery | Undecodable) -> None:
        self.entered.set()
        await self.open.wait()


async def test_a_subscriber_in_the_same_process_is_handed_a_message_that_is_claimed_already(
    broker: PostgresBroker,
) -> None:
    bus, gate = broker.bus(), Gate()
    async with bus.subscribe("gateway", [RunQueued], gate, concurrency=1):
        await bus.publish([fact(), fact()])
        async with asyncio.timeout(PATIENCE_S):
            await gate.entered.wait()
        assert await rows(broker.database) == [("gateway", 1, True), ("gateway", 0, False)]
        gate.open.set()
        await until_empty(broker.database)


async def test_no_transaction_is_open_while_a_handler_runs(broker: PostgresBroker) -> None:
    near, far = Gate(), Gate()
    bus = broker.bus()
    async with (
        asyncio.timeout(PATIENCE_S),
        bus.subscribe("gateway", [RunQueued], near),
        broker.bus().subscribe("builder", [RunQueued], far),
    ):
        await bus.publish([fact()])
        await near.entered.wait()
        await far.entered.wait()
        async with broker.database.connection() as connection:
            others = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_xid IS NOT NULL"
            )
        assert others == 0
        near.open.set()
        far.open.set()


async def test_delivery_goes_on_after_every_connection_was_cut(broker: PostgresBroker) -> None:
    inbox, publisher = Inbox(), broker.bus()
    async with broker.bus().subscribe("gateway", [RunQueued], inbox):
        before, after = fact(), fact()
        await publisher.publish([before])
        await inbox.all_of([before])
        await cut_connections(broker.database.url)
        await published(publisher, [after])
        await inbox.all_of([after])


async def test_many_processes_may_open_it_at_once(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        databases = [await stack.enter_async_context(open_database(database_url)) for _ in range(8)]
        await asyncio.gather(*(PostgresBus(database).open() for database in databases))
        await PostgresBus(databases[0]).ensure("gateway", [RunQueued])


async def test_a_database_that_is_away_is_an_unavailable_bus() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(BusUnavailable):
        await PostgresBus(database).publish([fact()])
    with pytest.raises(BusUnavailable):
        await PostgresBus(database).ensure("gateway", [RunQueued])
    with pytest.raises(BusUnavailable):
        async with PostgresBus(database).subscribe("gateway", [RunQueued], Inbox()):
            pass
    await database.close()


async def until_empty(database: Database) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await rows(database):
            await asyncio.sleep(0)


async def cut_connections(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def published(bus: EventBus, sent: list[Envelope]) -> None:
    """As a relay does: again until the broker has it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await bus.publish(sent)
            except BusUnavailable:
                await asyncio.sleep(0)
