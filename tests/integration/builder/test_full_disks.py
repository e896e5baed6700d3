"""No room left, somewhere: a named cause, nothing half visible, and the next build works."""

import os
import subprocess
from contextlib import contextmanager

import pytest

from cynthus.oci.ports import ContentUnknown
from tests.fixtures.image_works import image_works
from tests.fixtures.wheels import make_wheel

pytestmark = [pytest.mark.needs("root"), pytest.mark.timeout(120)]

HEAVY = 8_000_000
HELLO = {"main.py": "print('hello')\n", "requirements.txt": "heavy==1.0\n"}


@contextmanager
def small_disk(folder, size):
    """A file system of so many bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    folder = tmp_path_factory.mktemp("links")
    make_wheel(folder, {"heavy/__init__.py": b"", "heavy/data": os.urandom(HEAVY)}, name="heavy")
    return folder


def fill(folder):
    """Take all that is left."""
    ballast = folder / "ballast"
    with pytest.raises(OSError, match="No space left"):
        pour(ballast)
    return ballast


def pour(ballast):
    with ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))


@pytest.mark.parametrize("place", ["work", "registry", "wheels", "blobs"])
async def test_a_full_disk_is_named_and_passes(database_url, tmp_path, links, place):
    folder = tmp_path / "blobs" if place == "blobs" else tmp_path / "images" / place
    with small_disk(folder, 64_000_000):
        async with image_works(
            database_url, tmp_path, find_links=(str(links),), import_checks=False
        ) as bench:
            job = await bench.job(HELLO)
            ballast = fill(folder)
            outcome = await bench.works.recipe.make(job)
            assert outcome.cause.code == "storage_full", outcome
            assert await bench.works.catalogue.list("ada", None, None, 10) == []
            registry, repository = bench.works.registry, bench.works.repositories.project("ada", "digits")
            visible = set(registry.tags(repository))
            ballast.unlink()
            built = await bench.build(HELLO)
            assert visible <= {(built.image.environment or "").removeprefix("sha256:")[:16]}
            assert registry.manifest(repository, built.image.digest).digest == built.image.digest
            assert not list((tmp_path / "images/work").glob("layer-*"))
            assert not list((tmp_path / "images").rglob(".writing-*"))
            assert not list((tmp_path / "images").rglob("*.part"))


async def test_a_disk_that_fills_up_in_the_middle_of_a_layer_is_named_and_passes(
    database_url, tmp_path, links
):
    with small_disk(tmp_path / "images" / "registry", 6_000_000) as folder:
        async with image_works(
            database_url, tmp_path, find_links=(str(links),), import_checks=False
        ) as bench:
            failure = await bench.refuse(HELLO)
            assert failure.cause.code == "storage_full"
            repository = bench.works.repositories.project("ada", "digits")
            with pytest.raises(ContentUnknown):
                bench.works.registry.manifest(repository, "latest")
            subprocess.run(["mount", "-o", "remount,size=64000000", str(folder)], check=True)
            built = await bench.build(HELLO)
            assert bench.works.registry.manifest(repository, built.image.digest).body
