"""The order of a store: nothing that commits late is ever skipped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from cynthus.events import RunSucceeded
from cynthus.store.database import Database, open_database
from cynthus.store.ports import START, EventStore, Position, Recorded, Why
from cynthus.store.postgres import PostgresEventStore
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]

WHY = Why(actor="service:test")


@pytest.fixture
def store(store_database: Database) -> PostgresEventStore:
    return PostgresEventStore(store_database, schema=SCHEMA, source="here")


class Follower:
    """Reads a store to its end over and over, as a relay does."""

    def __init__(self, store: EventStore) -> None:
        self.seen: list[Recorded] = []
        self._store = store
        self._position: Position = START

    async def follow(self, count: int) -> None:
        async with self._store.appended() as appended:
            while len(self.seen) < count:
                facts = await self._store.tail(after=self._position, limit=50)
                self.seen += facts
                if facts:
                    self._position = facts[-1].position
                else:
                    await appended.wait(1)


@asynccontextmanager
async def held_open(database: Database, stream: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that has written a fact and does not commit."""
    async with database.transaction() as connection:
        await connection.execute(
            f"""INSERT INTO {SCHEMA}.events (stream, version, id, type, source, actor, decided, data)
            VALUES ($1, 1, 'late', 'dev.cynthus.run.succeeded.v1', 'here', 'x', true,
                    '{{"run_id": "late", "epoch": 0}}')""",
            stream,
        )
        yield connection


async def test_a_reader_beside_ten_writers_misses_nothing(store: PostgresEventStore) -> None:
    async def write(writer: int) -> None:
        for n in range(40):
            event = RunSucceeded(run_id=f"run_{writer}", epoch=n)
            await store.append(f"run-{writer}", [event], expected=n, why=WHY)

    follower = Follower(store)
    async with asyncio.timeout(60):
        await asyncio.gather(follower.follow(400), *(write(writer) for writer in range(10)))
    seen = [fact.envelope.id for fact in follower.seen]
    assert len(set(seen)) == len(seen) == 400
    by_stream: dict[str, list[int]] = {}
    for fact in follower.seen:
        by_stream.setdefault(fact.envelope.stream, []).append(fact.envelope.sequence)
    assert all(versions == list(range(1, 41)) for versions in by_stream.values())


async def test_a_transaction_held_open_while_a_thousand_others_commit_hides_nothing(
    store: PostgresEventStore, store_database: Database
) -> None:
    await store.append("before", [RunSucceeded(run_id="before", epoch=0)], expected=0, why=WHY)
    follower = Follower(store)
    async with asyncio.timeout(60):
        async with held_open(store_database, "late"):
            await asyncio.gather(
                *(
                    store.append(f"s{n}", [RunSucceeded(run_id=f"r{n}", epoch=n)], expected=0, why=WHY)
                    for n in range(1000)
                )
            )
            await follower.follow(1)
            assert [fact.envelope.stream for fact in await store.tail()] == ["before"]
        await follower.follow(1002)
    streams = [fact.envelope.stream for fact in follower.seen]
    assert streams[:2] == ["before", "late"]
    assert len(set(streams)) == 1002


async def test_a_reader_sees_soon_what_had_to_wait_for_an_older_transaction(
    store: PostgresEventStore, store_database: Database
) -> None:
    """The end of that transaction gives no hint, so the reader must not have gone to sleep."""
    async with asyncio.timeout(20), store.appended() as appended:
        async with held_open(store_database, "late"):
            await store.append("s", [RunSucceeded(run_id="r", epoch=0)], expected=0, why=WHY)
            appended.take()
            assert await store.tail() == []
            await appended.wait(60)
        while len(await store.tail()) < 2:
            await appended.wait(60)


async def test_a_reader_in_another_process_is_woken(store: PostgresEventStore, database_url: str) -> None:
    async with open_database(database_url, max_size=2) as other, asyncio.timeout(20):
        elsewhere = PostgresEventStore(other, schema=SCHEMA, source="here")
        async with store.appended() as appended:
            recorded: list[Recorded] = []
            written = asyncio.create_task(
                elsewhere.append("s", [RunSucceeded(run_id="r", epoch=0)], expected=0, why=WHY)
            )
            while not recorded:
                recorded = await store.tail()
                if not recorded:
                    await appended.wait(60)
            assert recorded == await written
            assert appended.take() == []
