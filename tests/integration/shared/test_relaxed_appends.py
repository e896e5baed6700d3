"""What a message means need not wait for the disk where a crash undoes the message's end too."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from cynthus.events import Envelope, Event, RunQueued, RunSucceeded, new_id
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.database import Connection, Database, open_database
from cynthus.store.ports import Recorded, Why
from cynthus.store.postgres import PostgresEventStore
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]


class Setting:
    """A projection that notes how the transaction it is part of will commit."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def apply(self, connection: Connection, _: Sequence[Recorded]) -> None:
        self.seen.append(await connection.fetchval("SHOW synchronous_commit"))

    async def reset(self, connection: Connection) -> None:
        raise NotImplementedError


@pytest.fixture
async def database(store_database: Database) -> AsyncIterator[Database]:
    """Commits wait for the disk, whatever the server of the tests does."""
    async with store_database.connection() as connection:
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
    async with open_database(store_database.url) as opened:
        yield opened


def message(*, durable: bool = False) -> Why:
    cause = Envelope(new_id("evt"), "there", datetime.now(UTC), RunQueued(run_id="run_1"), "run-1", 1, "a")
    return Why("service:here", cause, "here", durable=durable)


async def setting_of(database: Database, why: Why, events: Sequence[Event], *, relaxed: bool) -> str:
    setting = Setting()
    store = PostgresEventStore(
        database, schema=SCHEMA, source="here", projections=[setting], relaxed_consumers=relaxed
    )
    await store.append(new_id("run"), events, expected=0, why=why)
    async with database.connection() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
    (seen,) = setting.seen
    return seen


@pytest.mark.parametrize("facts", [0, 1, 3, 50])
async def test_effects_of_a_message_do_not_wait_for_the_disk(database: Database, facts: int) -> None:
    events = [RunSucceeded(run_id="run_1", epoch=n) for n in range(facts)]
    assert await setting_of(database, message(), events, relaxed=True) == "off"


async def test_everything_else_waits_for_the_disk(database: Database) -> None:
    events = [RunSucceeded(run_id="run_1", epoch=1)]
    called = Why("worker:m1")
    assert await setting_of(database, called, events, relaxed=True) == "on"
    assert await setting_of(database, message(durable=True), events, relaxed=True) == "on"
    assert await setting_of(database, message(), events, relaxed=False) == "on"


async def test_a_relay_that_lost_its_turn_begins_at_its_checkpoint(store_database: Database) -> None:
    checkpoint = PostgresCheckpoint(store_database, schema=SCHEMA)
    assert await checkpoint.mine()
    assert await checkpoint.mine()
    lost = """
        SELECT pg_terminate_backend(pid) FROM pg_locks
        WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"""
    async with store_database.wakeups("anything") as hint:
        async with store_database.connection() as connection:
            await connection.execute(lost)
        await hint.wait(5)
        assert [await checkpoint.mine(), await checkpoint.mine()] == [False, True]
