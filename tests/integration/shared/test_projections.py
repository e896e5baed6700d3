"""Tables that follow the history, and can be made anew from it."""

import asyncio
from collections.abc import Sequence

import pytest

from cynthus.events import Event, RunFailed, RunQueued, RunSucceeded
from cynthus.events.run import Cause
from cynthus.store.database import Connection, Database
from cynthus.store.ports import ConcurrentAppend, Recorded, Why
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.rebuild import rebuild
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]

WHY = Why(actor="service:test")
STATES: dict[type[Event], str] = {RunQueued: "queued", RunSucceeded: "succeeded", RunFailed: "failed"}


class RunStates:
    """The state of each run, for lists."""

    def __init__(self) -> None:
        self.broken = False

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        if self.broken:
            raise ValueError("broken")
        for fact in recorded:
            await connection.execute(
                f"""INSERT INTO {SCHEMA}.states (stream, state, version) VALUES ($1, $2, $3)
                ON CONFLICT (stream) DO UPDATE SET state = excluded.state, version = excluded.version""",
                fact.envelope.stream,
                STATES[type(fact.envelope.event)],
                fact.envelope.sequence,
            )

    async def reset(self, connection: Connection) -> None:
        await connection.execute(f"TRUNCATE {SCHEMA}.states")


@pytest.fixture
async def states(store_database: Database) -> RunStates:
    async with store_database.connection() as connection:
        await connection.execute(
            f"CREATE TABLE {SCHEMA}.states (stream text PRIMARY KEY, state text, version int)"
        )
    return RunStates()


@pytest.fixture
def store(store_database: Database, states: RunStates) -> PostgresEventStore:
    return PostgresEventStore(store_database, schema=SCHEMA, source="here", projections=[states])


async def contents(database: Database) -> list[tuple[str, str, int]]:
    async with database.connection() as connection:
        rows = await connection.fetch(f"SELECT stream, state, version FROM {SCHEMA}.states ORDER BY stream")
    return [tuple(row) for row in rows]


async def test_a_projection_is_in_step_with_every_append(
    store: PostgresEventStore, store_database: Database
) -> None:
    await store.append("s", [RunQueued(run_id="r")], expected=0, why=WHY)
    assert await contents(store_database) == [("s", "queued", 1)]
    with pytest.raises(ConcurrentAppend):
        await store.append("s", [RunSucceeded(run_id="r", epoch=1)], expected=0, why=WHY)
    assert await contents(store_database) == [("s", "queued", 1)]


async def test_a_projection_that_fails_takes_the_facts_with_it(
    store: PostgresEventStore, states: RunStates, store_database: Database
) -> None:
    states.broken = True
    with pytest.raises(ValueError, match="broken"):
        await store.append("s", [RunQueued(run_id="r")], expected=0, why=WHY)
    assert await store.read("s") == []
    assert await contents(store_database) == []


async def test_a_rebuilt_projection_equals_the_one_that_grew(
    store: PostgresEventStore, states: RunStates, store_database: Database
) -> None:
    cause = Cause(code="exit", message="exit code 1")
    for n in range(30):
        ends = [RunSucceeded(run_id=f"r{n}", epoch=1), RunFailed(run_id=f"r{n}", cause=cause)]
        await store.append(f"s{n}", [RunQueued(run_id=f"r{n}")], expected=0, why=WHY)
        await store.append(f"s{n}", ends[n % 2 :], expected=1, why=WHY)
    grown = await contents(store_database)
    async with store_database.connection() as connection:
        await connection.execute(f"UPDATE {SCHEMA}.states SET state = 'nonsense'")
    assert await rebuild(store, [states]) == 75
    assert await contents(store_database) == grown


async def test_a_rebuild_beside_writers_misses_nothing(
    store: PostgresEventStore, states: RunStates, store_database: Database
) -> None:
    async def write(n: int) -> None:
        for version in range(10):
            await store.append(f"s{n}", [RunSucceeded(run_id=f"r{n}", epoch=1)], expected=version, why=WHY)

    async with asyncio.timeout(60):
        await asyncio.gather(
            rebuild(store, [states]), *(write(n) for n in range(8)), rebuild(store, [states])
        )
    assert await contents(store_database) == [(f"s{n}", "succeeded", 10) for n in range(8)]
