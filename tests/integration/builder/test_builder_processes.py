"""Builders as processes that are killed at any point: another goes on, and half an image is never seen."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from cynthus.builder.domain.build import Built
from cynthus.bus.postgres import PostgresBus
from cynthus.events import BuildFailed, Envelope, ImageBuilt, new_id
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.ports import ContentUnknown
from cynthus.store.postgres import PostgresEventStore
from tests.fixtures.faulty_http import faulty_http
from tests.fixtures.image_works import image_works
from tests.fixtures.wheels import make_wheel

pytestmark = [pytest.mark.needs("docker-registry"), pytest.mark.timeout(120)]

HELLO = {"main.py": "import heavy\nprint('hello')\n", "requirements.txt": "heavy==1.0\nlight==1.0\n"}
KEYS = {"SECRETS_KEY": "0f1e2d3c" * 4, "WORKER_KEY": "a9b8c7d6" * 4, "INTERNAL_TOKEN": "1a2b3c4d" * 4}


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    folder = tmp_path_factory.mktemp("links")
    make_wheel(folder, {"heavy/__init__.py": b"", "heavy/data": os.urandom(6_000_000)}, name="heavy")
    make_wheel(folder, {"light.py": b"value = 1\n"}, name="light")
    return folder


@pytest.fixture
def proxy(registry):
    with faulty_http(registry.host) as proxy:
        yield proxy


class Town:
    """A database with its bus, a registry behind a proxy, and builders that come and go."""

    def __init__(self, bench, proxy, direct, folder, links, database_url, url):
        self.bench, self.proxy, self.direct = bench, proxy, direct
        self._folder, self._links, self._database_url, self._url = folder, links, database_url, url
        self.bus = PostgresBus(bench.database)
        self.store = PostgresEventStore(bench.database, schema="builder", source="builder")
        self._running = []

    @property
    def repository(self):
        return self.bench.works.repositories.project("ada", "digits")

    def start(self):
        number = len(self._running)
        ours = {
            "DATABASE_URL": self._database_url,
            "BLOBS_FOLDER": str(self._folder / "blobs"),
            "SECRETS_FOLDER": str(self._folder / "secrets"),
            "BUILDER_PORT": "0",
            "BUILDER_IMAGES_FOLDER": str(self._folder / f"images-{number}"),
            "BUILDER_REGISTRY_URL": self._url,
            "BUILDER_FIND_LINKS": f'["{self._links}"]',
            "BUILDER_IMPORT_CHECKS": "false",
            "BUILDER_LEASE_SECONDS": "1",
            "BUILDER_DEFAULT_PYTHON": "3.11",
            **KEYS,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CYNTHUS_")}
        log = (self._folder / f"builder-{number}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cynthus.builder"],
                env=kept | {f"CYNTHUS_{name}": value for name, value in ours.items()},
                stderr=log,
                stdout=log,
            )
        self._running.append(process)
        return process

    def logs(self):
        return "".join(path.read_text() for path in sorted(self._folder.glob("builder-*.log")))

    async def serving(self, count):
        """So many builders listen: what is asked from now on is heard."""
        async with asyncio.timeout(60):
            while self.logs().count('"serving"') < count:
                assert all(process.poll() is None for process in self._running), self.logs()
                await asyncio.sleep(0.05)

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)

    def close(self):
        for process in self._running:
            if process.poll() is None:
                self.kill(process)

    async def request(self, files):
        message = (await self.bench.job(files)).message
        stream = f"run-{message.run_id}"
        envelope = Envelope(new_id("evt"), "gateway", datetime.now(UTC), message, stream, 1, "user:ada")
        await self.bus.publish([envelope])
        return message.run_id

    async def image(self, run):
        async with asyncio.timeout(60):
            while True:
                history = [recorded.envelope.event for recorded in await self.store.read(f"run-{run}")]
                for event in history:
                    assert not isinstance(event, BuildFailed), (event, self.logs())
                    if isinstance(event, ImageBuilt):
                        return event.image
                await asyncio.sleep(0.05)

    async def rows(self, statement):
        async with self.bench.database.connection() as connection:
            return await connection.fetch(statement)

    async def nothing_is_visible(self, digest):
        """No manifest of the image by any name, and no finished image for anybody."""
        for reference in (digest, digest.removeprefix("sha256:")[:16]):
            with pytest.raises(ContentUnknown):
                self.direct.manifest(self.repository, reference)
        assert await self.bench.works.catalogue.list("ada", None, None, 10) == []
        assert await self.rows("SELECT 1 FROM builder.images") == []


@pytest.fixture
async def town(database_url, tmp_path, registry, proxy, links):
    prefix = tmp_path.name.replace("_", "-").lower().strip("-")
    url = f"{proxy.url}/{prefix}"
    async with image_works(
        database_url, tmp_path, registry_url=url, find_links=(str(links),), import_checks=False
    ) as bench:
        town = Town(bench, proxy, HttpRegistry(registry.url), tmp_path, links, database_url, url)
        await town.bus.open()
        try:
            yield town
        finally:
            town.close()


@asynccontextmanager
async def undisturbed(database_url, folder, registry, links):
    """What the image must be: built elsewhere, with nothing in between."""
    async with image_works(
        database_url, folder, registry_url=f"{registry.url}/undisturbed", find_links=(str(links),),
        import_checks=False, default_python="3.11",
    ) as bench:  # fmt: skip
        built = await bench.build(HELLO)
        assert isinstance(built, Built)
        async with bench.database.connection() as connection:
            for table in ("images", "locks", "layers", "placements", "known", "catalogue"):
                await connection.execute(f"DELETE FROM builder.{table}")
        yield built.image


POINTS = {
    "before the first blob": (r"POST .*/deps/blobs/uploads/", False),
    "between blobs": (r"PUT .*/u/.*/blobs/uploads/", False),
    "before the environment's manifest": (r"PUT .*/u/.*/manifests/", False),
    "after the environment's manifest": (r"PUT .*/u/.*/manifests/", True),
    "before the image's manifest": (r"PUT .*/u/.*/manifests/", False),
    "after the image's manifest": (r"PUT .*/u/.*/manifests/", True),
}


@pytest.mark.parametrize("point", POINTS)
async def test_a_builder_killed(town, database_url, tmp_path, registry, links, point):
    async with undisturbed(database_url, tmp_path / "elsewhere", registry, links) as expected:
        match, answered = POINTS[point]
        if "image's" in point:
            town.proxy.stall(match).hold.set()  # the environment's goes first
        stalled = town.proxy.stall(match, answered=answered)
        first = town.start()
        await town.serving(1)
        run = await town.request(HELLO)
        assert await asyncio.to_thread(stalled.held.wait, 30), town.logs()
        town.kill(first)
        stalled.hold.set()
        if point != "after the image's manifest":
            await town.nothing_is_visible(expected.digest)
        else:
            assert await town.bench.works.catalogue.list("ada", None, None, 10) == []
        layers = {row["key"] for row in await town.rows("SELECT key FROM builder.layers")}
        uploads = town.proxy.count(r"PUT .*/deps/blobs/uploads/")
        second = town.start()
        image = await town.image(run)
        assert image.digest == expected.digest
        assert image.environment == expected.environment
        assert town.direct.manifest(town.repository, image.digest).digest == image.digest
        assert [entry.digest for entry in await town.bench.works.catalogue.list("ada", None, None, 10)] == [
            image.digest
        ]
        if layers and len(layers) == len(await town.rows("SELECT key FROM builder.layers")):
            assert town.proxy.count(r"PUT .*/deps/blobs/uploads/") == uploads
        assert len(await town.rows("SELECT 1 FROM builder.builds")) == 0
        town.kill(second)


async def test_two_builder_processes_do_equal_builds_once(town):
    town.start()
    town.start()
    await town.serving(2)
    runs = [await town.request(HELLO) for _ in range(4)]
    images = [await town.image(run) for run in runs]
    assert len({image.digest for image in images}) == 1
    assert town.proxy.count(r"PUT .*/u/.*/manifests/") == 2
