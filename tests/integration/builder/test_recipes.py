"""From a snapshot to an image with nothing but a database, folders and wheels on disk."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from cynthus.builder.domain.build import Built, Failed
from cynthus.events import Image
from cynthus.oci.manifest import Manifest, Note
from tests.fixtures.image_works import image_works
from tests.fixtures.wheels import make_wheel

NEEDS = {"requirements.txt": "thing==1.0\n"}
ONE, OTHER = "import thing\nprint(1)\n", "import thing\nprint(2)\n"


@pytest.fixture
def links(tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    make_wheel(folder, {"thing/__init__.py": b"answer = 42\n"})
    return folder


@pytest.fixture
async def bench(database_url, tmp_path, links):
    async with image_works(database_url, tmp_path, find_links=(str(links),)) as bench:
        yield bench


def manifest_of(bench, image: Image, digest: str) -> Manifest:
    return Manifest.decode(bench.works.registry.manifest(image.repository, digest).body)


async def test_an_image_names_its_source_and_its_lock_by_digest(bench):
    files = {"main.py": ONE, **NEEDS}
    image = (await bench.build(files)).image

    assert image.kind == "oci"
    assert image.source == await bench.snapshot(files)
    assert image.command[-1] == "main.py"
    lock = image.lock.removeprefix("sha256:")
    (text,) = (await bench.platform.blobs.get_many([f"owners/ada/blobs/{lock[:2]}/{lock}"])).values()
    assert sha256(text).hexdigest() == lock
    assert b'name = "thing"' in text
    notes = manifest_of(bench, image, image.digest).annotations
    assert (notes[Note.SOURCE], notes[Note.LOCK], notes[Note.TITLE]) == (image.source, image.lock, "digits")


async def test_the_environment_is_the_image_without_its_source(bench):
    image = (await bench.build({"main.py": ONE, **NEEDS})).image
    whole = manifest_of(bench, image, image.digest).layers
    below = manifest_of(bench, image, image.environment).layers

    assert [layer.annotations[Note.LAYER] for layer in whole] == ["venv", "packages", "source"]
    assert below == whole[:-1]
    assert image.size == sum(layer.size for layer in whole)


async def test_builds_of_one_key_at_once_do_the_work_once(bench):
    job = await bench.job({"main.py": ONE, **NEEDS})
    outcomes = await asyncio.gather(*(bench.works.recipe.make(job) for _ in range(4)))

    assert len({outcome.image.digest for outcome in outcomes}) == 1
    assert sum(bool(outcome.phases_ms) for outcome in outcomes) == 1


async def test_other_code_with_the_same_needs_is_neither_resolved_nor_packed_again(bench, links):
    first = await bench.build({"main.py": ONE, **NEEDS})
    for wheel in links.iterdir():
        wheel.unlink()
    second = await bench.build({"main.py": OTHER, **NEEDS})

    assert second.image.lock == first.image.lock
    assert second.image.environment == first.image.environment
    assert not {"fetch", "layers"} & second.phases_ms.keys()


async def test_an_image_of_an_entry_has_its_own_command_and_shares_everything_else(bench):
    files = {"main.py": ONE, "other.py": OTHER, **NEEDS}
    first, other = await bench.build(files), await bench.build(files, "other.py")

    assert (first.image.command[-1], other.image.command[-1]) == ("main.py", "other.py")
    assert first.image.environment == other.image.environment
    one, two = (manifest_of(bench, built.image, built.image.digest) for built in (first, other))
    assert one.layers == two.layers
    assert one.config != two.config


async def test_no_index_no_entry_point_and_no_source_have_causes_of_their_own(bench, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    indexed = '[[image.index]]\nname = "house"\nurl = "http://127.0.0.1:9/simple"\n'
    offline = await bench.refuse({"main.py": ONE, "cynthus.toml": indexed, **NEEDS})
    nothing = await bench.refuse({"readme.txt": "hi"}, None)
    job = await bench.job({"main.py": ONE})
    spec = job.message.spec.model_copy(update={"snapshot": "sha256:" + "0" * 64})
    message = job.message.model_copy(update={"spec": spec})
    gone = await bench.works.recipe.make(replace(job, message=message))

    assert isinstance(gone, Failed)
    causes = [one.cause.code for one in (offline, nothing, gone)]
    assert causes == ["index_unreachable", "no_entry_point", "source_missing"]
    assert all(one.cause.fix for one in (offline, nothing, gone))
    assert [one.transient for one in (offline, nothing, gone)] == [True, False, False]


async def test_a_build_that_failed_leaves_no_image_and_is_tried_anew(bench, links):
    (wheel,) = links.iterdir()
    away = wheel.rename(links.parent / wheel.name)
    job = await bench.job({"main.py": ONE, "requirements.txt": "thing==1.0 ; python_version > '3'\n"})
    refused = await bench.works.recipe.make(job)
    assert isinstance(refused, Failed)
    assert await bench.works.catalogue.list("ada", None, None, 10) == []
    away.rename(wheel)
    assert isinstance(await bench.works.recipe.make(job), Built)
