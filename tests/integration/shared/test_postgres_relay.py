import asyncio
from collections.abc import Callable

import pytest

from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.database import Database, open_database
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.relay import Relay
from tests.contracts.relay import WHY, RelayContract, event, running
from tests.fixtures.buses import RecordingBus
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]


@pytest.fixture
def store(store_database: Database) -> PostgresEventStore:
    return PostgresEventStore(store_database, schema=SCHEMA, source="here")


@pytest.fixture
def checkpoint(store_database: Database) -> Callable[[], PostgresCheckpoint]:
    return lambda: PostgresCheckpoint(store_database, schema=SCHEMA)


class TestRelayOfAPostgresStore(RelayContract):
    async def test_of_two_relays_one_works_and_the_other_takes_over(
        self, store: PostgresEventStore, checkpoint: Callable[[], PostgresCheckpoint], database_url: str
    ) -> None:
        first, second = RecordingBus(), RecordingBus()
        async with open_database(database_url) as other:
            elsewhere = PostgresEventStore(other, schema=SCHEMA, source="here")
            standby = Relay(elsewhere, second, PostgresCheckpoint(other, schema=SCHEMA))
            async with running(Relay(store, first, checkpoint())):
                await store.append("s", [event(0)], expected=0, why=WHY)
                await first.until(lambda bus: len(bus.published) >= 1)
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(standby.run())
                    await elsewhere.append("s", [event(1)], expected=1, why=WHY)
                    await first.until(lambda bus: len(bus.published) >= 2)
                    assert second.published == []
                    task.cancel()
            async with running(standby):
                [late] = await elsewhere.append("s", [event(2)], expected=2, why=WHY)
                await second.until(lambda bus: late.envelope.id in bus.ids())
        assert len(first.published) == 2
