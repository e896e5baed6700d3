"""What is removed, and when: never what somebody builds or uses, and in the end everything else."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from cynthus.builder.adapters.postgres_builds import PostgresBuilds
from cynthus.builder.adapters.postgres_collectable import PostgresCollectable
from cynthus.builder.adapters.postgres_index import PostgresIndex
from cynthus.bus.ports import Delivery
from cynthus.events import Cause, Envelope, RunFailed, new_id
from cynthus.oci.ports import ContentUnknown
from tests.fixtures.building import shop
from tests.fixtures.image_works import image_works
from tests.fixtures.wheels import make_wheel

pytestmark = pytest.mark.timeout(120)

HELLO = {"main.py": "print('hello')\n", "requirements.txt": "heavy==1.0\nlight==1.0\n"}
OTHER = {**HELLO, "main.py": "print('other')\n"}
LONG = timedelta(days=30)


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    folder = tmp_path_factory.mktemp("links")
    make_wheel(folder, {"heavy/__init__.py": b"", "heavy/data": os.urandom(6_000_000)}, name="heavy")
    make_wheel(folder, {"light.py": b"value = 1\n"}, name="light")
    return folder


@pytest.fixture
async def bench(database_url, tmp_path, links):
    async with image_works(database_url, tmp_path, find_links=(str(links),), import_checks=False) as bench:
        bench.storage = tmp_path / "images" / "registry"
        yield bench


async def rows(bench, statement, *arguments):
    async with bench.database.connection() as connection:
        return await connection.fetch(statement, *arguments)


async def age(bench, days=90):
    """Everything was made and used long ago."""
    for table, column in (("catalogue", "used_at"), ("layers", "made_at")):
        await rows(bench, f"UPDATE builder.{table} SET {column} = {column} - interval '{days} days'")
    for path in bench.storage.rglob("blobs/sha256/*"):
        os.utime(path, (time.time() - days * 86_400,) * 2)


def there(bench, repository, digest):
    try:
        return bench.works.registry.manifest(repository, digest).digest == digest
    except ContentUnknown:
        return False


class Paused:
    """A removal that waits in the middle of things."""

    def __init__(self, bench):
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self._bench = bench

    async def __call__(self, repository, digests):
        self.begun.set()
        await self.go.wait()
        await self._bench.works.collector.remove(repository, digests)


async def test_who_builds_what_is_being_removed_has_it_in_the_end(bench):
    first = await bench.build(HELLO)
    await age(bench)
    removal = Paused(bench)
    collecting = asyncio.create_task(PostgresCollectable(bench.database).collect(LONG, removal))
    await removal.begun.wait()
    building = asyncio.create_task(bench.build(HELLO))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(building), 0.5)
    removal.go.set()
    again = await building
    assert await collecting == 1
    assert again.image == first.image
    assert there(bench, again.image.repository, again.image.digest)
    assert there(bench, again.image.repository, again.image.environment)
    assert [one.digest for one in await bench.works.catalogue.list("ada", None, None, 9)] == [
        again.image.digest
    ]


async def test_who_builds_on_an_environment_that_is_being_removed_has_it_in_the_end(bench):
    await bench.build(HELLO)
    await age(bench)
    removal = Paused(bench)
    collecting = asyncio.create_task(PostgresCollectable(bench.database).collect(LONG, removal))
    await removal.begun.wait()
    building = asyncio.create_task(bench.build(OTHER))
    removal.go.set()
    other = await building
    await collecting
    assert there(bench, other.image.repository, other.image.digest)
    assert there(bench, other.image.repository, other.image.environment)


async def test_an_image_told_to_a_run_while_it_is_chosen_for_removal_stays(bench):
    built = await bench.build(HELLO)
    await age(bench)
    job = await bench.job(HELLO)
    found = await PostgresBuilds(bench.database).find(job.key)
    assert found is not None
    assert found.image == built.image
    assert await bench.works.collector.collect() == 0
    assert there(bench, built.image.repository, built.image.digest)


async def test_an_image_in_removal_is_not_told_to_a_run(bench):
    await bench.build(HELLO)
    await age(bench)
    removal = Paused(bench)
    collecting = asyncio.create_task(PostgresCollectable(bench.database).collect(LONG, removal))
    await removal.begun.wait()
    async with asyncio.timeout(10):
        assert await PostgresBuilds(bench.database).find((await bench.job(HELLO)).key) is None
    assert await bench.works.catalogue.list("ada", None, None, 9) == []
    removal.go.set()
    await collecting


async def test_an_image_of_a_run_that_is_not_over_stays_however_old(bench):
    async with shop(bench) as builder:
        image = (await builder.image(await builder.request(HELLO))).image
    await age(bench, 3000)
    assert await bench.works.collector.collect() == 0
    assert there(bench, image.repository, image.digest)


async def test_an_image_asked_for_between_choice_and_removal_stays(bench):
    """The moment between hiding an image and removing it belongs to whoever builds it."""
    built = await bench.build(HELLO)
    await age(bench)
    collectable = PostgresCollectable(bench.database)
    row = await collectable._withdraw(LONG)
    again = await bench.build(HELLO)
    assert await collectable._remove(row, bench.works.collector.remove) == 0
    assert again.image == built.image
    assert there(bench, again.image.repository, again.image.digest)
    assert there(bench, again.image.repository, again.image.environment)


async def test_two_collectors_remove_everything_and_no_environment_is_left(bench):
    images = [await bench.build({**HELLO, "n.py": f"{n}"}) for n in range(6)]
    await age(bench)
    both = [PostgresCollectable(bench.database) for _ in range(2)]
    counts = await asyncio.gather(*(one.collect(LONG, bench.works.collector.remove) for one in both))
    assert sum(counts) == 6
    for built in images:
        assert not there(bench, built.image.repository, built.image.digest)
        assert not there(bench, built.image.repository, built.image.environment)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_at_the_removal_converges(bench, when):
    built = await bench.build(HELLO)
    await age(bench)

    class Crash(Exception):
        """The process ends."""

    async def crashing(repository, digests):
        if when == "after":
            await bench.works.collector.remove(repository, digests)
        raise Crash

    with pytest.raises(Crash):
        await PostgresCollectable(bench.database).collect(LONG, crashing)
    again = await bench.build(HELLO)
    assert there(bench, again.image.repository, again.image.digest)
    assert there(bench, again.image.repository, again.image.environment)
    assert again.image == built.image
    await age(bench)
    assert await bench.works.collector.collect() == 1
    assert not there(bench, built.image.repository, built.image.digest)


async def test_a_crash_at_the_removal_that_nobody_builds_again_is_finished_later(bench):
    built = await bench.build(HELLO)
    await age(bench)
    collectable = PostgresCollectable(bench.database)
    assert await collectable._withdraw(LONG) is not None
    assert await bench.works.collector.collect() == 1
    assert not there(bench, built.image.repository, built.image.digest)
    assert await rows(bench, "SELECT 1 FROM builder.catalogue") == []


async def test_layers_that_no_image_has_go_and_their_room_is_free_again(bench):
    built = await bench.build(HELLO)
    deps = bench.works.repositories.deps
    assert len(bench.works.registry.tags(deps)) == 3  # frame, packages, heavy
    before = sum(path.stat().st_size for path in bench.storage.rglob("blobs/sha256/*"))
    await age(bench)
    await bench.works.collector.collect()
    assert bench.works.registry.tags(deps) == []
    assert await rows(bench, "SELECT 1 FROM builder.layers") == []
    assert await rows(bench, "SELECT 1 FROM builder.placements WHERE repository = $1", deps) == []
    await age(bench)
    bench.works.registry.sweep(older_than_s=0)
    assert before > 6_000_000
    assert sum(path.stat().st_size for path in bench.storage.rglob("blobs/sha256/*")) < 1000
    again = await bench.build(HELLO)
    assert again.image == built.image
    for layer in (await bench.works.catalogue.find("ada", again.image.digest)).layers:
        assert bench.works.registry.stat(again.image.repository, layer.digest) == layer.size


async def test_layers_that_an_image_has_stay_however_old(bench):
    built = await bench.build(HELLO)
    await rows(bench, "UPDATE builder.layers SET made_at = made_at - interval '900 days'")
    await bench.works.collector.collect()
    assert len(bench.works.registry.tags(bench.works.repositories.deps)) == 3
    assert len(await rows(bench, "SELECT 1 FROM builder.layers")) == 3
    assert there(bench, built.image.repository, built.image.digest)


async def test_layers_asked_for_lately_stay_without_an_image(bench):
    await bench.build(HELLO)
    await age(bench)
    keys = [row["key"] for row in await rows(bench, "SELECT key FROM builder.layers")]
    await PostgresIndex(bench.database).layers(keys)
    await bench.works.collector.collect()
    assert len(await rows(bench, "SELECT 1 FROM builder.layers")) == 3


async def test_a_build_whose_layer_is_gone_makes_it_anew(bench):
    built = await bench.build(HELLO)
    entry = await bench.works.catalogue.find("ada", built.image.digest)
    heavy = next(layer for layer in entry.layers if layer.kind == "wheel")
    for path in bench.storage.rglob(f"blobs/sha256/{heavy.digest.removeprefix('sha256:')}"):
        path.unlink()
    changed = await bench.build(OTHER, project="another")
    registry = bench.works.registry
    assert registry.stat(changed.image.repository, heavy.digest) == heavy.size
    assert registry.stat(bench.works.repositories.deps, heavy.digest) == heavy.size


async def test_an_image_that_a_machine_did_not_find_is_built_anew(bench):
    async with shop(bench) as builder:
        run = await builder.request(HELLO)
        image = (await builder.image(run)).image
        registry = bench.works.registry
        registry.remove_manifest(image.repository, image.digest)
        registry.remove_manifest(image.repository, image.environment)
        lost = RunFailed(run_id=run, cause=Cause(code="image_missing", message="it is not there"))
        envelope = Envelope(new_id("evt"), "orchestrator", datetime.now(UTC), lost, f"run-{run}", 1, "x")
        await builder.handler.ended(Delivery(envelope, 1))
        again = (await builder.image(await builder.request(HELLO))).image
    assert again.digest == image.digest
    assert there(bench, image.repository, image.digest)
    assert there(bench, image.repository, image.environment)


async def test_an_engine_that_hangs_or_breaks_keeps_the_collector_from_nothing(bench):
    built = await bench.build(HELLO)
    broken = asyncio.Event()

    async def clean():
        broken.set()
        raise RuntimeError("the engine says something new")

    bench.works.collector._clean = clean
    running = asyncio.create_task(bench.works.collector.run())
    async with asyncio.timeout(20):
        await broken.wait()
        while not bench.works.registry.referrers(built.image.repository, built.image.digest):
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.wait([running])
