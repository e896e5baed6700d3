"""The reply to a commit is lost: nothing that is written is written twice, or believed not to be."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from cynthus.bus.pace import Pace
from cynthus.bus.ports import BusUnavailable, Delivery
from cynthus.bus.postgres import PostgresBus
from cynthus.events import Envelope, RunQueued, RunSucceeded
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.consumer import Consumer
from cynthus.store.database import Connection, Database, open_database
from cynthus.store.parked import park
from cynthus.store.ports import AlreadyHandled, Recorded, StoreUnavailable, Why
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.postgres_inbox import PostgresInbox
from cynthus.store.relay import Relay
from tests.contracts.relay import running
from tests.fixtures.commit_proxy import CommitProxy, Mode
from tests.fixtures.store import SCHEMA, store_database

__all__ = ["store_database"]

WHY = Why(actor="service:here")
CAUSE = Envelope("evt_x", "there", datetime.now(UTC), RunQueued(run_id="run_1"), "run-run_1", 1, "a")


def succeeded(epoch: int = 1) -> RunSucceeded:
    return RunSucceeded(run_id="run_1", epoch=epoch)


class Seen:
    """A projection: what it writes is committed together with the facts."""

    async def apply(self, connection: Connection, recorded: list[Recorded]) -> None:
        for fact in recorded:
            await connection.execute("INSERT INTO here.seen VALUES ($1)", fact.envelope.id)

    async def reset(self, connection: Connection) -> None:
        await connection.execute("DELETE FROM here.seen")


@pytest.fixture
async def proxy(store_database: Database, database_url: str) -> AsyncIterator[CommitProxy]:
    async with store_database.connection() as connection:
        await connection.execute("CREATE TABLE here.seen (id text)")
    async with CommitProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def database(proxy: CommitProxy) -> AsyncIterator[Database]:
    async with open_database(proxy.url, shared=False) as database:
        yield database


def lose_next(proxy: CommitProxy, count: int = 1) -> None:
    proxy.mode, proxy.most = Mode.LOSE, len(proxy.lost) + count


@pytest.mark.parametrize("projections", [[], [Seen()]], ids=["one statement", "transaction"])
async def test_an_append_that_was_committed_is_known_to_be(
    proxy: CommitProxy, database: Database, projections: list[Seen]
) -> None:
    store = PostgresEventStore(database, schema=SCHEMA, source="here", projections=projections)
    await store.append("s", [succeeded(0)], expected=0, why=WHY)
    lose_next(proxy)
    recorded = await store.append("s", [succeeded(1), succeeded(2)], expected=1, why=WHY)
    assert len(proxy.lost) == 1
    assert ("COMMIT" in proxy.lost[0]) == bool(projections)
    assert (await store.read("s"))[1:] == recorded


@pytest.mark.parametrize("events", [[succeeded()], []], ids=["facts", "only a mark"])
async def test_a_message_whose_effects_are_committed_is_not_handled_again(
    proxy: CommitProxy, database: Database, events: list[RunSucceeded]
) -> None:
    store = PostgresEventStore(database, schema=SCHEMA, source="here")
    why = Why("a", CAUSE, "here")
    lose_next(proxy)
    if events:
        assert len(await store.append("s", events, expected=0, why=why)) == 1
    else:
        with pytest.raises(StoreUnavailable):
            await store.append("s", events, expected=0, why=why)
    assert len(proxy.lost) == 1
    with pytest.raises(AlreadyHandled):
        await store.append("s", events, expected=len(events), why=why)
    assert len(await store.read("s")) == len(events)


async def test_outages_while_counting_do_not_park_a_message(proxy: CommitProxy, database: Database) -> None:
    inbox, calls = PostgresInbox(database, schema=SCHEMA), []

    async def handle(delivery: Delivery) -> None:
        calls.append(delivery.attempt)

    consumer = Consumer("here", inbox, PostgresBus(database), {RunQueued: handle})
    proxy.mode = Mode.LOSE
    for attempt in range(2, 22, 2):
        with pytest.raises(StoreUnavailable):
            await consumer.handle(Delivery(CAUSE, attempt))
        await consumer.handle(Delivery(CAUSE, attempt + 1))
    assert len(calls) == 10
    assert list(await inbox.parked("here")) == []


async def test_parking_and_saving_can_be_said_again(proxy: CommitProxy, database: Database) -> None:
    inbox, checkpoint = (
        PostgresInbox(database, schema=SCHEMA),
        PostgresCheckpoint(database, schema=SCHEMA, name="facts:there"),
    )
    parked = park("here", Delivery(CAUSE, 5), reason="broken", attempts=5)
    steps = {
        "park": lambda: inbox.park(parked),
        "save": lambda: checkpoint.save((7, 8)),
        "unpark": lambda: inbox.unpark("here", CAUSE.id),
    }
    for name, step in steps.items():
        lose_next(proxy)
        with pytest.raises(StoreUnavailable):
            await step()
        await step()
        expected = [] if name == "unpark" else [CAUSE.id]
        assert [one.message_id for one in await inbox.parked("here")] == expected
    assert await checkpoint.load() == (7, 8)
    assert len(proxy.lost) == len(steps)


async def test_the_bus_delivers_at_least_once_whichever_reply_is_lost(
    proxy: CommitProxy, database: Database
) -> None:
    bus = PostgresBus(database, pace=Pace(lease_s=0.3, poll_s=0.05, pause_s=0.01))
    await bus.open()
    heard: list[str] = []

    async def hear(delivery: Delivery) -> None:
        heard.append(delivery.envelope.id)

    store = PostgresEventStore(database, schema=SCHEMA, source="here")
    await bus.ensure("there", [RunSucceeded])
    relay = Relay(store, bus, PostgresCheckpoint(database, schema=SCHEMA))
    async with (
        asyncio.timeout(60),
        bus.subscribe("there", [RunSucceeded], hear),
        running(relay),
    ):
        proxy.share, proxy.mode = 0.3, Mode.LOSE
        ids = [fact.envelope.id for n in range(40) for fact in await appended(store, n)]
        proxy.mode = Mode.PASS
        while not set(ids) <= set(heard) or await waiting(database):
            await asyncio.sleep(0.01)
    assert len(proxy.lost) > 10


async def waiting(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM bus.messages"))


async def appended(store: PostgresEventStore, n: int) -> list[Recorded]:
    """As a client would: it tries again and looks whether the fact is there."""
    while True:
        try:
            return await store.append(f"s{n}", [succeeded(n)], expected=0, why=WHY)
        except StoreUnavailable:
            if found := await store.read(f"s{n}"):
                return found


async def test_a_publication_whose_reply_was_lost_is_an_outage(
    proxy: CommitProxy, database: Database
) -> None:
    bus = PostgresBus(database)
    await bus.open()
    lose_next(proxy)
    with pytest.raises(BusUnavailable):
        await bus.publish([CAUSE])


async def test_reads_and_refused_statements_are_never_lost(proxy: CommitProxy, database: Database) -> None:
    proxy.mode = Mode.LOSE
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM here.events") == 0
        with pytest.raises(asyncpg.NotNullViolationError):
            await connection.execute("INSERT INTO here.checkpoints (name) VALUES ('x')")
        async with connection.transaction():
            await connection.execute("INSERT INTO here.seen VALUES ('x')")
            proxy.mode = Mode.PASS
    assert proxy.lost == []


async def test_as_a_process_it_obeys_its_control_port(database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fixtures.commit_proxy", database_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        told = json.loads(await process.stdout.readline())
        reader, writer = await asyncio.open_connection("127.0.0.1", told["control"])

        async def order(line: str) -> dict[str, object]:
            writer.write(f"{line}\n".encode())
            answer: dict[str, object] = json.loads(await reader.readline())
            return answer

        async with open_database(told["url"], shared=False) as database:
            async with database.connection() as connection:
                await connection.execute("CREATE TABLE t (n int)")
            assert (await order("lose 1"))["mode"] == "lose"
            with pytest.raises(StoreUnavailable):
                async with database.connection() as connection:
                    await connection.execute("INSERT INTO t VALUES (1)")
            assert (await order("status"))["lost"] == 1
            assert "error" in await order("dance")
            await order("cut")
            with pytest.raises(StoreUnavailable):
                async with database.connection() as connection:
                    await connection.execute("SELECT 1")
            await order("pass")
            async with database.connection() as connection:
                assert await connection.fetchval("SELECT count(*) FROM t") == 1
        writer.close()
    finally:
        process.terminate()
        await process.wait()
