"""What a process sees when its database is killed, restarted or cut off."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cynthus.embedded.postgres import PostgresServer
from cynthus.store.checkpoint import PostgresCheckpoint
from cynthus.store.database import Database, open_database
from cynthus.store.ports import ConcurrentAppend, StoreUnavailable
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.relay import Relay
from tests.contracts.relay import WHY, event, running
from tests.fixtures.buses import RecordingBus
from tests.fixtures.flaky_network import FlakyNetwork, flaky_network
from tests.fixtures.store import SCHEMA, create_store, store_database

__all__ = ["store_database"]


class Server:
    """A PostgreSQL server that a test may kill."""

    def __init__(self, home: Path) -> None:
        self._server = PostgresServer(home, settings={"fsync": "off"})

    @property
    def url(self) -> str:
        return self._server.url

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def kill(self) -> None:
        found = self._server.running
        assert found is not None
        found.signal(signal.SIGQUIT, self._server.folders.data)
        async with asyncio.timeout(30):
            while self._server.running is not None:
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    home = Path(tempfile.mkdtemp(prefix="cynthus-outage-"))
    server = Server(home)
    yield server
    server.stop()
    shutil.rmtree(home)


@pytest.fixture
async def database(server: Server) -> AsyncIterator[Database]:
    await server.start()
    async with open_database(server.url) as database:
        await create_store(database, SCHEMA)
        yield database


async def test_after_a_restart_of_the_server_everything_works_again(
    server: Server, database: Database
) -> None:
    store = PostgresEventStore(database, schema=SCHEMA, source="here")
    await asyncio.gather(*(store.append(f"s{n}", [event(n)], expected=0, why=WHY) for n in range(20)))
    await server.kill()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.append("s", [event(0)], expected=0, why=WHY)
        with pytest.raises(StoreUnavailable):
            await store.read("s0")
    await server.start()
    await store.append("s", [event(0)], expected=0, why=WHY)
    results = await asyncio.gather(*(store.read(f"s{n}") for n in range(20)))
    assert [len(facts) for facts in results] == [1] * 20


async def test_a_statement_under_way_when_the_server_dies_is_an_outage(
    server: Server, database: Database
) -> None:
    async def slow() -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_sleep(60)")

    sleeping = asyncio.create_task(slow())
    watch = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    async with asyncio.timeout(20), database.connection() as connection:
        while not await connection.fetchval(watch):
            pass
    await server.kill()
    with pytest.raises(StoreUnavailable):
        await sleeping


async def test_a_database_that_is_away_at_the_start_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        async with open_database(f"postgresql://nobody@/none?host={tmp_path}"):
            pass


async def test_wake_ups_come_back_after_a_restart(server: Server, database: Database) -> None:
    async with asyncio.timeout(60), database.wakeups("news") as wakeup:
        async with database.connection() as connection:
            await connection.execute("NOTIFY news")
        await wakeup.wait(30)
        await server.kill()
        await server.start()
        await wakeup.wait(30)
        async with open_database(server.url) as other, other.connection() as connection:
            await connection.execute("NOTIFY news")
        await wakeup.wait(30)


async def test_a_relay_lives_through_a_restart(server: Server, database: Database) -> None:
    store = PostgresEventStore(database, schema=SCHEMA, source="here")
    bus = RecordingBus()
    async with running(Relay(store, bus, PostgresCheckpoint(database, schema=SCHEMA))):
        [before] = await store.append("s", [event(0)], expected=0, why=WHY)
        await bus.until(lambda bus: before.envelope.id in bus.ids())
        await server.kill()
        await server.start()
        [after] = await store.append("s", [event(1)], expected=1, why=WHY)
        await bus.until(lambda bus: after.envelope.id in bus.ids())


@pytest.fixture
async def network(
    store_database: Database, database_url: str
) -> AsyncIterator[tuple[FlakyNetwork, PostgresEventStore]]:
    """A store behind a network that fails on demand."""
    folder = Path(tempfile.mkdtemp(prefix="cynthus-net-"))
    async with (
        flaky_network(database_url, folder) as (network, url),
        open_database(url, shared=False) as database,
    ):
        store = PostgresEventStore(database, schema=SCHEMA, source="here")
        await store.append("s", [event(0)], expected=0, why=WHY)
        yield network, store
    shutil.rmtree(folder)


async def test_an_append_whose_reply_was_lost_is_found_to_have_happened(
    network: tuple[FlakyNetwork, PostgresEventStore],
) -> None:
    line, store = network
    line.lose_next_answer = True
    recorded = await store.append("s", [event(1)], expected=1, why=WHY)
    assert not line.lose_next_answer
    assert (await store.read("s"))[1:] == recorded


async def test_an_append_that_never_arrived_is_an_outage_and_can_be_tried_again(
    network: tuple[FlakyNetwork, PostgresEventStore],
) -> None:
    line, store = network
    line.lose_next_question = True
    with pytest.raises(StoreUnavailable):
        await store.append("s", [event(1)], expected=1, why=WHY)
    await store.append("s", [event(1)], expected=1, why=WHY)
    with pytest.raises(ConcurrentAppend):
        await store.append("s", [event(1)], expected=1, why=WHY)
