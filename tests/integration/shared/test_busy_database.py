"""A database that is there and cannot do it now: 503 and again in a moment, never a fault of the caller."""

import asyncio

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI

from cynthus.store.database import Connection, Database, open_database
from cynthus.store.ports import StoreUnavailable, Why
from cynthus.store.postgres import PostgresEventStore
from cynthus.web.problems import Answer, install
from tests.contracts.relay import event
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]

RAISED = ["53100", "53200", "53300", "53400", "57P01", "57P02", "57P03", "57014", "57P05"]
RAISED += ["40001", "40P01", "40003", "55P03", "25P03", "25006", "58030", "58000", "08006"]


@pytest.fixture
async def table(store_database: Database) -> Database:
    async with store_database.connection() as connection:
        await connection.execute("CREATE TABLE t AS SELECT n, 0 AS value FROM generate_series(1, 2) AS n")
    return store_database


@pytest.mark.parametrize("code", RAISED)
async def test_whatever_the_server_says_in_trouble_is_an_outage(store_database: Database, code: str) -> None:
    with pytest.raises(StoreUnavailable):
        async with store_database.connection() as connection:
            await connection.execute(f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$")
    async with store_database.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("code", ["23505", "42601", "22012", "XX000", "55000"])
async def test_a_wrong_statement_is_no_outage(store_database: Database, code: str) -> None:
    with pytest.raises(asyncpg.PostgresError):
        async with store_database.connection() as connection:
            await connection.execute(f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$")


async def test_a_lock_that_is_not_had_in_time_is_an_outage_and_the_connection_stays(table: Database) -> None:
    used: list[Connection] = []

    async def update() -> None:
        async with table.connection() as connection:
            used.append(connection)
            await connection.execute("SET lock_timeout = '20ms'")
            await connection.execute("UPDATE t SET value = 1")

    async with table.transaction() as holder:
        await holder.execute("LOCK TABLE t")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            await update()
        async with table.connection() as again:
            assert used == [again]


async def test_nobody_waits_for_a_lock_for_ever(table: Database) -> None:
    async with table.connection() as connection:
        assert await connection.fetchval("SHOW lock_timeout") == "20s"


async def test_whoever_loses_a_deadlock_may_try_again(table: Database) -> None:
    met = asyncio.Barrier(2)

    async def update(first: int, second: int) -> None:
        async with table.transaction() as connection:
            await connection.execute("UPDATE t SET value = value + 1 WHERE n = $1", first)
            await met.wait()
            await connection.execute("UPDATE t SET value = value + 1 WHERE n = $1", second)

    async with asyncio.timeout(30):
        ended = await asyncio.gather(update(1, 2), update(2, 1), return_exceptions=True)
    [lost] = [error for error in ended if error is not None]
    assert isinstance(lost, StoreUnavailable)
    assert "deadlock" in str(lost)
    async with table.connection() as connection:
        assert await connection.fetchval("SELECT sum(value) FROM t") == 2


async def test_a_serialization_failure_may_be_tried_again(table: Database) -> None:
    met = asyncio.Barrier(2)

    async def update(n: int) -> None:
        async with table.connection() as connection, connection.transaction(isolation="serializable"):
            await connection.fetchval("SELECT sum(value) FROM t")
            await met.wait()
            await connection.execute("UPDATE t SET value = value + 1 WHERE n = $1", n)

    ended = await asyncio.gather(update(1), update(2), return_exceptions=True)
    [lost] = [error for error in ended if error is not None]
    assert isinstance(lost, StoreUnavailable)
    assert "serialize" in str(lost)


async def test_all_connections_in_use_is_an_outage(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cynthus.store.database._CONNECT_TIMEOUT_S", 0.05)
    async with open_database(database_url, max_size=1) as database, database.connection():
        with pytest.raises(StoreUnavailable):
            async with database.connection():
                pass


async def test_an_append_that_was_refused_is_not_there_and_says_why(store_database: Database) -> None:
    store = PostgresEventStore(store_database, schema=SCHEMA, source="here")
    async with store_database.connection() as connection:
        await connection.execute(
            "CREATE FUNCTION here.full() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE SQLSTATE '53100' USING MESSAGE = 'no space left on device'; END $$"
        )
        await connection.execute(
            "CREATE TRIGGER f BEFORE INSERT ON here.events FOR EACH ROW EXECUTE FUNCTION here.full()"
        )
    with pytest.raises(StoreUnavailable, match="no space left"):
        await store.append("s", [event(1)], expected=0, why=Why("a"))
    assert await store.read("s") == []


async def test_a_client_is_told_when_to_come_again(store_database: Database) -> None:
    app = FastAPI()
    install(app, {StoreUnavailable: Answer(503, "store_unavailable", "Try again in a moment.")})

    @app.get("/")
    async def deadlock() -> None:
        async with store_database.connection() as connection:
            await connection.execute("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$")

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "store_unavailable"
