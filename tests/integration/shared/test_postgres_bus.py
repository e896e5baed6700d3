from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from cynthus.bus.backoff import Backoff
from cynthus.bus.pace import Pace
from cynthus.bus.ports import EventBus
from cynthus.bus.postgres import PostgresBus, open_postgres_bus
from cynthus.events import Event
from cynthus.store.database import Database, open_database
from tests.contracts.event_bus import DurableEventBusContract

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
