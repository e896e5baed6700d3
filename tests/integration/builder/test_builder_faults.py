"""The registry on bad days: builds end in the same image, and half an image is never visible."""

import asyncio
import json
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cynthus.builder.workshop import Pace
from cynthus.events import BuildFailed, ImageBuilt
from cynthus.oci.http_registry import HttpRegistry
from cynthus.oci.ports import ContentUnknown
from tests.fixtures.building import QUICK, shop
from tests.fixtures.faulty_http import Fault, faulty_http
from tests.fixtures.image_works import image_works
from tests.fixtures.wheels import make_wheel

pytestmark = [pytest.mark.needs("docker-registry"), pytest.mark.timeout(120)]

HELLO = {"main.py": "import heavy\nprint('hello')\n", "requirements.txt": "heavy==1.0\nlight==1.0\n"}
HEAVY_BYTES = 6_000_000


@pytest.fixture(scope="session")
def links(tmp_path_factory):
    """A package that is a layer of its own, and a small one."""
    folder = tmp_path_factory.mktemp("links")
    noise = os.urandom(HEAVY_BYTES)
    make_wheel(folder, {"heavy/__init__.py": b"", "heavy/data": noise}, name="heavy")
    make_wheel(folder, {"light.py": b"value = 1\n"}, name="light")
    return folder


@pytest.fixture
def proxy(registry):
    with faulty_http(registry.host) as proxy:
        yield proxy


def mine(name):
    """Children of this process with a name."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            if lines["Name"].strip() == name and lines["PPid"].strip() == str(os.getpid()):
                found.append(status)
    return found


def prefix_of(tmp_path):
    return tmp_path.name.replace("_", "-").lower().strip("-")


@asynccontextmanager
async def works(database_url, folder, links, url, **settings):
    async with image_works(
        database_url,
        folder,
        registry_url=url,
        find_links=(str(links),),
        import_checks=False,
        registry_username="builder",
        registry_password="unasked",
        **settings,
    ) as bench:
        bench.works.registry._client._pause = lambda seconds: None
        yield bench


@pytest.fixture
async def bench(database_url, tmp_path, links, proxy):
    async with works(database_url, tmp_path, links, f"{proxy.url}/{prefix_of(tmp_path)}") as bench:
        yield bench


@pytest.fixture
def direct(registry):
    return HttpRegistry(registry.url)


MANIFEST = r"PUT .*/u/.*/manifests/"
FAULTS = {
    "401 once": Fault(r"POST .*/uploads/", answer=(401, {"WWW-Authenticate": 'Basic realm="r"'}, b"")),
    "429 with Retry-After": Fault(r"(POST|PUT) ", times=2, answer=(429, {"Retry-After": "1"}, b"")),
    "500 for blobs": Fault(r"POST .*/blobs/uploads/", times=3, answer=(500, {}, b"oops")),
    "503 for manifests": Fault(MANIFEST, times=3, answer=(503, {}, b"")),
    "a cut upload of a layer": Fault(r"PUT .*/deps/blobs/uploads/", times=2, cut_upload_after=2_000_000),
    "a cut upload of the source": Fault(r"PUT .*/u/.*/blobs/uploads/", times=2, cut_upload_after=50),
    "a cut manifest": Fault(MANIFEST, times=2, cut_upload_after=100),
    "a lost answer to a manifest": Fault(MANIFEST, times=2, lose_answer=True),
    "a lost answer to a blob": Fault(r"PUT .*/blobs/uploads/", times=2, lose_answer=True),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_build_gets_over(bench, proxy, direct, name):
    fault = replace(FAULTS[name])
    proxy.faults.append(fault)
    built = await bench.build(HELLO)
    assert fault.times == 0
    manifest = direct.manifest(built.image.repository, built.image.digest)
    assert manifest.digest == built.image.digest
    for layer in (await bench.works.catalogue.find("ada", built.image.digest)).layers:
        assert direct.stat(built.image.repository, layer.digest) == layer.size


async def test_the_image_is_the_same_whatever_happened_on_the_way(
    bench, proxy, database_url, tmp_path, links
):
    proxy.faults += [replace(fault) for fault in FAULTS.values() if fault.answer is None]
    first = await bench.build(HELLO)
    async with bench.database.connection() as connection:
        for table in ("images", "locks", "layers", "placements", "known", "catalogue"):
            await connection.execute(f"DELETE FROM builder.{table}")
    url = f"{proxy.url}/quiet-{prefix_of(tmp_path)}"
    async with works(database_url, tmp_path / "quiet", links, url) as quiet:
        second = await quiet.build(HELLO)
    assert second.image.digest == first.image.digest


async def test_a_registry_that_comes_back_ends_in_an_image_and_is_complained_of_once(bench, proxy):
    away = Fault(r".", times=60, answer=(503, {}, b""))
    proxy.faults.append(away)
    async with shop(bench) as builder:
        run = await builder.request(HELLO)
        image = await builder.image(run)
        told = await builder.told(run)
    assert away.times == 0
    assert [type(event) for event in told] == [BuildFailed, ImageBuilt]
    assert told[0].cause.code == "registry_unreachable"
    assert told[0].transient
    assert image.image.digest


async def test_a_registry_that_stays_away_is_given_up_in_the_end(bench, proxy):
    proxy.faults.append(Fault(r".", times=10**9, answer=(503, {}, b"")))
    async with shop(bench, pace=replace(QUICK, most_attempts=3)) as builder:
        run = await builder.request(HELLO)
        failure = await builder.failure(run)
        told = await builder.told(run)
    assert failure.cause.code == "registry_unreachable"
    assert [event.transient for event in told] == [True, False]


async def test_nothing_is_visible_before_the_manifest_is_there(bench, proxy, direct):
    proxy.faults.append(Fault(MANIFEST, times=10**9, answer=(503, {}, b"")))
    failure = await bench.refuse(HELLO)
    assert failure.transient
    repository = bench.works.repositories.project("ada", "digits")
    assert direct.tags(repository) == []
    assert await bench.works.catalogue.list("ada", None, None, 10) == []


async def test_layers_pushed_before_a_failure_are_not_uploaded_again(bench, proxy):
    fault = Fault(MANIFEST, times=10**9, answer=(503, {}, b""))
    proxy.faults.append(fault)
    await bench.refuse(HELLO)
    proxy.faults.clear()
    before = proxy.count(r"PUT .*/deps/blobs/uploads/")
    await bench.build(HELLO)
    assert proxy.count(r"PUT .*/deps/blobs/uploads/") == before


@pytest.mark.parametrize("kind", ["source", "packages", "wheel", "venv", "config"])
async def test_whatever_blob_the_registry_lost_is_pushed_again(bench, registry, direct, kind):
    bench.storage = registry.folder
    first = await bench.build(HELLO)
    entry = await bench.works.catalogue.find("ada", first.image.digest)
    repository = first.image.repository
    manifest = direct.manifest(repository, first.image.digest)
    lost = next((layer.digest for layer in entry.layers if layer.kind == kind), None)
    if lost is None:
        lost = json.loads(manifest.body)["config"]["digest"]
    bench.lose_blob(lost)
    async with bench.database.connection() as connection:
        await connection.execute("DELETE FROM builder.images")
    again = await bench.build(HELLO)
    assert again.image.digest == first.image.digest
    assert direct.stat(repository, lost) is not None


async def test_two_builders_at_once_do_the_work_once(bench, proxy, database_url, tmp_path, links):
    url = f"{proxy.url}/{prefix_of(tmp_path)}"
    async with works(database_url, tmp_path / "second", links, url) as other:
        await other.snapshot(HELLO)
        async with shop(bench) as one, shop(other) as two:
            runs = await asyncio.gather(*(builder.request(HELLO) for builder in (one, two) for _ in range(3)))
            images = [await one.image(run) for run in runs]
    assert len({event.image.digest for event in images}) == 1
    assert proxy.count(r"POST .*/deps/blobs/uploads/\?") + proxy.count(r"PUT .*/deps/blobs/uploads/.*") <= 8
    assert proxy.count(MANIFEST) == 2  # the environment and the image


async def test_claims_of_one_key_at_once_give_one_build(bench):
    hold, seen = asyncio.Event(), []

    async def work(job):
        seen.append(job.key)
        await hold.wait()
        return await bench.works.recipe.make(job)

    async with shop(bench, work=work) as one, shop(bench, work=work) as two:
        keys = 4
        runs = [await one.request({"main.py": f"print({n})"}) for n in range(keys) for _ in range(3)]
        async with asyncio.timeout(20):
            while len(seen) < keys:
                await asyncio.sleep(0.01)
        assert sorted(seen) == sorted(set(seen))
        hold.set()
        for run in runs:
            await two.image(run)


async def test_a_build_that_hangs_ends_by_its_limit_and_the_next_one_works(bench):
    never, asked = asyncio.Event(), []

    async def work(job):
        asked.append(job.run_id)
        if job.message.spec.entry == "hang.py":
            await never.wait()
        return await bench.works.recipe.make(job)

    async with shop(bench, work=work, pace=replace(QUICK, limit_s=0.2)) as builder:
        failure = await builder.failure(await builder.request({"hang.py": ""}, "hang.py"))
    async with shop(bench) as builder:
        await builder.image(await builder.request(HELLO))
    assert failure.cause.code == "build_timeout"
    assert not failure.transient


async def test_a_registry_that_takes_and_never_answers_ends_by_the_limit(bench, proxy):
    stalled = proxy.stall(r"PUT .*/deps/blobs/uploads/")
    async with shop(bench, pace=replace(QUICK, limit_s=2)) as builder:
        failure = await builder.failure(await builder.request(HELLO))
    stalled.hold.set()
    assert failure.cause.code == "build_timeout"
    leftovers = [path for path in (bench.settings.images_folder / "work").iterdir() if path.name != "bases"]
    async with asyncio.timeout(20):
        while [path for path in leftovers if path.exists()]:
            await asyncio.sleep(0.05)


async def test_an_index_that_never_answers_ends_by_the_limit_and_leaves_no_resolver(bench):
    connections = []
    server = await asyncio.start_server(lambda reader, writer: connections.append(writer), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/simple"
    files = {**HELLO, "cynthus.toml": f'[[image.index]]\nname = "mute"\nurl = "{url}"\n'}
    async with shop(bench, pace=replace(QUICK, limit_s=2)) as builder:
        failure = await builder.failure(await builder.request(files))
    assert connections
    assert failure.cause.code == "build_timeout"
    async with asyncio.timeout(10):
        while mine("uv"):
            await asyncio.sleep(0.05)
    for writer in connections:
        writer.close()
    server.close()


async def test_a_builder_that_is_told_to_stop_gives_its_builds_back(bench):
    working, never = asyncio.Event(), asyncio.Event()

    async def work(job):
        working.set()
        await never.wait()

    async with shop(bench, work=work, pace=replace(QUICK, lease=timedelta(hours=1))) as first:
        run = await first.request(HELLO)
        await working.wait()
    async with shop(bench) as second:
        await second.image(run)


async def test_a_build_that_ends_its_builder_every_time_is_given_up(bench):
    async with shop(bench, pace=Pace(poll_s=3600)) as quiet:
        quiet.handler._started = lambda: None
        run = await quiet.request(HELLO)
        async with bench.database.connection() as connection:
            await connection.execute("UPDATE builder.builds SET attempts = 8, leased_until = NULL")
    async with shop(bench) as builder:
        failure = await builder.failure(run)
    assert failure.cause.code == "build_abandoned"


async def test_an_image_whose_manifest_is_gone_is_unknown(bench, direct):
    repository = bench.works.repositories.project("ada", "digits")
    with pytest.raises(ContentUnknown):
        direct.manifest(repository, "sha256:" + "0" * 64)
