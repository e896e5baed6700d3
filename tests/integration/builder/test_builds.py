"""Builds over a real database: claimed, done once, told, rebuilt."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cynthus.builder.adapters.postgres_builds import PostgresBuilds
from cynthus.builder.domain.build import Built, Failed
from cynthus.builder.handlers import BuildHandler
from cynthus.builder.workshop import Workshop
from cynthus.bus.ports import Delivery
from cynthus.events import Cause, Envelope, Image, RunRequested, RunSpec, new_id
from cynthus.store.database import open_database
from cynthus.store.migrations import migrate
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.rebuild import rebuild

IMAGE = Image(
    digest="sha256:i", source="sha256:s", lock="sha256:l", python="3.11", command=("python", "main.py")
)
BUILT = Built(IMAGE, packages=1)
LEASE = timedelta(seconds=30)


class Bench:
    def __init__(self, database):
        self.builds = PostgresBuilds(database)
        self.store = PostgresEventStore(
            database, schema="builder", source="builder", projections=[self.builds]
        )
        self.nudged = asyncio.Event()
        self.handler = BuildHandler(self.store, self.builds, default_python="3.11", started=self.nudged.set)

    async def request(self, run="r1", entry="main.py"):
        event = RunRequested(
            run_id=run, owner="o", project="p", name="n", spec=RunSpec(snapshot="sha256:s", entry=entry)
        )
        envelope = Envelope(new_id("evt"), "gateway", datetime.now(UTC), event, f"run-{run}", 1, "user:o")
        await self.handler.requested(Delivery(envelope, 1))

    async def kinds(self, run="r1"):
        return [recorded.envelope.event.kind for recorded in await self.store.read(f"run-{run}")]

    async def rows(self):
        async with self.store.database.connection() as connection:
            found = await connection.fetch("SELECT run_id, key, message FROM builder.builds ORDER BY 1")
        return [tuple(row) for row in found]


@pytest.fixture
async def bench(database_url):
    await migrate(database_url, "builder")
    async with open_database(database_url) as database:
        yield Bench(database)


async def test_a_new_build_is_started_claimed_by_one_and_told(bench):
    await bench.request()
    job = await bench.builds.claim(LEASE)
    assert job.run_id == "r1"
    assert await bench.builds.claim(LEASE) is None
    await bench.handler.finished("r1", BUILT, 1.0)
    assert await bench.kinds() == ["run.requested", "build.started", "image.built"]
    assert await bench.rows() == []


async def test_a_build_whose_builder_died_is_claimed_by_another(bench):
    await bench.request()
    assert await bench.builds.claim(timedelta(0)) is not None
    assert (await bench.builds.claim(LEASE)).run_id == "r1"


async def test_what_was_built_before_is_told_without_work(bench):
    await bench.request()
    job = await bench.builds.claim(LEASE)
    await bench.builds.keep(job.key, BUILT)
    await bench.request("r2")
    assert await bench.kinds("r2") == ["run.requested", "image.built"]


async def test_the_workshop_does_what_was_started_and_survives_a_broken_build(bench):
    finished = asyncio.Event()

    async def work(job):
        if job.message.spec.entry == "broken.py":
            raise ZeroDivisionError
        finished.set()
        return BUILT

    await bench.request("r1", entry="broken.py")
    await bench.request("r2")
    workshop = Workshop(bench.builds, work, bench.handler.finished, bench.nudged, concurrency=1)
    task = asyncio.create_task(workshop.run())
    async with asyncio.timeout(20):
        await finished.wait()
        while await bench.rows():
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (await bench.kinds("r1"))[-1] == "build.failed"
    assert (await bench.kinds("r2"))[-1] == "image.built"


async def test_builds_rebuilt_from_the_history_equal_the_live_ones(bench):
    for number in range(300):
        await bench.request(f"r{number}", entry=f"{number}.py")
    await bench.handler.finished("r7", Failed(Cause(code="x", message="x")), 0.1)
    live = await bench.rows()
    assert len(live) == 299
    await rebuild(bench.store, [bench.builds])
    assert await bench.rows() == live
