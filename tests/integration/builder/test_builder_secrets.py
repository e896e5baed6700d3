"""What opens a private index is in nothing that is kept, and what it gives is its owner's alone."""

import gzip
import json
import logging
import zlib

import pytest

from tests.fixtures.building import shop
from tests.fixtures.image_works import image_works
from tests.integration.builder.package_index import CANARY, USER, serving, wheel

pytestmark = pytest.mark.timeout(120)

MARK = "private-code-of-ada"


def project(index, *, secret=True):
    line = 'secret = "CORP"\n' if secret else ""
    return {
        "main.py": "import corp_thing\nprint('hello')\n",
        "requirements.txt": "corp-thing==1.0\n",
        "cynthus.toml": f'[[image.index]]\nname = "corp"\nurl = "{index.url}"\n{line}',
    }


@pytest.fixture
def index():
    name, data = wheel("corp-thing", "1.0", modules={"corp_thing/code.py": f"code = '{MARK}'\n"})
    with serving(files={name: data}, password=CANARY) as index:
        yield index


@pytest.fixture
async def bench(database_url, tmp_path):
    async with image_works(database_url, tmp_path) as bench:
        yield bench


async def built(bench, files, owner="ada"):
    job = await bench.job(files, owner=owner, secret_names=("CORP",))
    await bench.platform.secrets.put(job.message.run_id, {"CORP": f"{USER}:{CANARY}"})
    return await bench.works.recipe.make(job)


def texts(folder):
    """Every file in every form a reader meets it: as it is, and inflated."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            yield path, data
            if data.startswith(b"\x1f\x8b"):
                yield path, gzip.decompress(data)


async def dump(bench):
    async with bench.database.connection() as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'builder'"
        )
        rows = [
            row[0]
            for table in tables
            for row in await connection.fetch(f'SELECT t::text FROM builder."{table[0]}" AS t')
        ]
    return "\n".join(rows)


async def test_the_token_is_in_nothing_that_is_kept_or_told(bench, index, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)

    async def always(scope):
        return {"CORP": f"{USER}:{CANARY}"}

    bench.platform.secrets.get = always
    async with shop(bench) as builder:
        outcome = await builder.image(await builder.request(project(index)))
        conflict = {**project(index), "requirements.txt": "corp-thing==2.0\n"}
        told = await builder.failure(await builder.request(conflict))
    assert await bench.works.collector.attach() == 1
    assert any(header for _, header in index.requests)
    canary, seen = CANARY.encode(), 0
    for path, data in texts(tmp_path):
        assert canary not in data, path
        seen += 1
    assert seen > 10
    assert CANARY not in await dump(bench)
    for kind in ("sbom", "provenance"):
        assert canary not in await bench.works.catalogue.document("ada", outcome.image.digest, kind)
    assert CANARY not in caplog.text
    assert CANARY not in "".join(capfd.readouterr())
    assert CANARY not in told.model_dump_json()
    assert CANARY not in outcome.image.model_dump_json()


async def test_what_is_private_is_in_its_owners_repository_only(bench, index, tmp_path):
    outcome = await built(bench, project(index))
    places = {
        path.relative_to(tmp_path / "images/registry").as_posix().partition("/blobs/")[0]
        for path, data in texts(tmp_path / "images/registry")
        if _holds(data)
    }
    assert places == {outcome.image.repository}


def _holds(data):
    """Layers are made of several gzip members, stored and deflated."""
    if MARK.encode() in data:
        return True
    try:
        return data.startswith(b"\x1f\x8b") and MARK.encode() in gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return False


async def test_another_owner_without_the_secret_gets_nothing_of_it(bench, index):
    await built(bench, project(index))
    failure = await bench.refuse(project(index, secret=False), owner="eve")
    assert failure.cause.code == "index_unauthorized"
    assert MARK not in json.dumps(failure.cause.model_dump())


async def test_a_known_lock_does_not_open_the_wheels_of_another_owner(bench, index):
    """Even who brings the lock gets no file that was fetched with somebody else's secret."""
    await built(bench, project(index))
    name = next(iter(index.files))
    files = {
        **project(index, secret=False),
        "requirements.txt": f"corp-thing @ {index.file_url(name)} --hash=sha256:{index.sha256(name)}\n",
    }
    failure = await bench.refuse(files, owner="eve")
    assert MARK not in json.dumps(failure.cause.model_dump())


async def test_the_same_owner_with_the_secret_builds_again_from_what_is_kept(bench, index):
    first = await built(bench, project(index))
    before = len(index.requests)
    again = await built(bench, {**project(index), "more.py": ""})
    assert again.image.environment == first.image.environment
    assert len(index.requests) == before
