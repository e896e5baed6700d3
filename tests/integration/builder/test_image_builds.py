"""Images of real projects in a real registry, run by real engines."""

import asyncio
import json
import os
import subprocess

import pytest

from cynthus.builder.domain.build import Built
from cynthus.oci.ports import ContentUnknown
from tests.fixtures.image_works import image_works

pytestmark = [
    pytest.mark.needs("docker-registry", "mmdebstrap", "skopeo"),
    pytest.mark.timeout(240),
]
HELLO = {"main.py": "import yaml\nprint('hello', yaml.safe_load('a: 1'))\n", "requirements.txt": "pyyaml\n"}


@pytest.fixture
async def bench(database_url, tmp_path, registry, base_image):
    base = {"reference": base_image.reference, "python": base_image.python, "glibc": [2, 36]}
    url = f"{registry.url}/{tmp_path.name.replace('_', '-').lower().strip('-')}"
    async with image_works(database_url, tmp_path, registry_url=url, bases={"3.11": base}) as bench:
        bench.host, bench.storage = registry.host, registry.folder
        yield bench


def reference(bench, built: Built) -> str:
    host = bench.settings.registry_url.removeprefix("http://").partition("/")[0]
    return f"{host}/{built.image.repository}@{built.image.digest}"


@pytest.mark.needs("docker")
async def test_an_image_runs_with_docker_as_nobody_in_a_read_only_root(bench):
    built = await bench.build(HELLO)
    ran = subprocess.run(
        ["docker", "run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none", reference(bench, built)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "hello {'a': 1}\n", ran.stderr


@pytest.mark.needs("podman")
async def test_the_same_image_runs_with_podman_and_skopeo_agrees(bench):
    built = await bench.build(HELLO)
    ran = subprocess.run(
        ["podman", "--runtime=runc", "run", "--rm", "--tls-verify=false", "--network=none",
         "--ulimit=nofile=4096:4096", "--ulimit=nproc=2000:2000", reference(bench, built)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "hello {'a': 1}\n", ran.stderr
    inspected = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{reference(bench, built)}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert inspected.returncode == 0, inspected.stderr
    found = json.loads(inspected.stdout)
    assert found["Digest"] == built.image.digest
    assert len(found["Layers"]) == 4  # base, environment, packages, source


async def test_two_machines_give_one_digest(bench, database_url, tmp_path):
    first = await bench.build(HELLO)
    before = os.umask(0o077)
    try:
        async with image_works(
            database_url, tmp_path / "elsewhere", registry_url=f"{bench.settings.registry_url}/b",
            bases=bench.settings.bases,
        ) as other:  # fmt: skip
            async with other.database.connection() as connection:
                for table in ("images", "locks", "layers", "placements", "known", "catalogue"):
                    await connection.execute(f"DELETE FROM builder.{table}")
            second = await other.build(HELLO)
    finally:
        os.umask(before)
    assert second.image.digest == first.image.digest
    assert second.image.environment == first.image.environment


async def test_a_changed_file_moves_only_the_source_layer(bench):
    await bench.build(HELLO)
    counted = bench.count_requests()
    changed = await bench.build({**HELLO, "main.py": "print('changed')\n"})
    assert counted() == {"POST": 2, "PUT": 3}
    assert changed.image.environment == (await bench.build(HELLO)).image.environment


async def test_two_identical_builds_at_once_do_the_work_once(bench):
    job = await bench.job(HELLO)
    counted = bench.count_requests()
    outcomes = await asyncio.gather(*(bench.works.recipe.make(job) for _ in range(4)))
    assert len({outcome.image.digest for outcome in outcomes}) == 1
    once = counted()
    await bench.works.recipe.make(job)
    assert counted() == once


async def test_what_the_registry_lost_is_pushed_again(bench):
    first = await bench.build(HELLO)
    repository = first.image.repository
    registry = bench.works.registry
    for layer in (await bench.works.catalogue.find("ada", first.image.digest)).layers:
        if layer.kind in {"packages", "source"}:
            bench.lose_blob(layer.digest)
    again = await bench.build({**HELLO, "more.py": ""})
    for layer in (await bench.works.catalogue.find("ada", again.image.digest)).layers:
        assert registry.stat(repository, layer.digest) is not None


async def test_documents_stand_beside_the_image(bench):
    built = await bench.build(HELLO)
    assert await bench.works.collector.attach() == 1
    assert await bench.works.collector.attach() == 0
    registry, repository = bench.works.registry, built.image.repository
    found = {one.artifact_type: one for one in registry.referrers(repository, built.image.digest)}
    assert set(found) == {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
    bill = json.loads(await bench.works.catalogue.document("ada", built.image.digest, "sbom"))
    assert [one["name"] for one in bill["components"] if one["type"] == "library"] == ["pyyaml"]


async def test_an_image_that_nobody_used_for_long_goes_and_a_used_one_stays(bench):
    old = await bench.build(HELLO)
    used = await bench.build({**HELLO, "main.py": "import yaml\nprint('used')\n"})
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE builder.catalogue SET used_at = used_at - interval '90 days'")
        await connection.execute("INSERT INTO builder.uses VALUES ('run_1', 'ada', $1)", used.image.digest)
    await bench.works.collector.attach()
    assert await bench.works.collector.collect() == 1
    registry, repository = bench.works.registry, used.image.repository
    assert registry.manifest(repository, used.image.digest).digest == used.image.digest
    with pytest.raises(ContentUnknown):
        registry.manifest(repository, old.image.digest)
    assert registry.manifest(repository, used.image.environment).digest == used.image.environment
    again = await bench.build(HELLO)
    assert again.image.digest == old.image.digest
    assert registry.manifest(repository, old.image.digest).digest == old.image.digest


async def test_one_owner_cannot_read_what_another_has(bench):
    built = await bench.build(HELLO, owner="Ada")
    names = bench.works.repositories
    assert names.readable(built.image.repository, "Ada")
    assert not names.readable(built.image.repository, "ada")
    assert not names.readable(names.deps, "Ada")


async def test_a_base_from_another_registry_is_brought_once(database_url, tmp_path, base_image):
    base = {"reference": base_image.reference, "python": base_image.python, "glibc": [2, 36]}
    async with image_works(database_url, tmp_path, bases={"3.11": base}) as bench:
        built = await bench.build(HELLO)
        folder = tmp_path / "images" / "registry" / built.image.repository
        inspected = subprocess.run(
            ["skopeo", "inspect", "--raw", f"oci:{folder}"], capture_output=True, text=True, check=False
        )
        assert (folder / "oci-layout").exists(), inspected.stderr
        assert built.image.base == base_image.reference


async def test_a_base_that_does_not_exist_is_named(bench):
    failure = await bench.refuse(
        {**HELLO, "cynthus.toml": f'[image]\nbase = "{bench.host}/nobody/nothing:1"\n'}
    )
    assert failure.cause.code == "base_missing"
    assert "nobody/nothing:1" in failure.cause.message
    assert not failure.transient


async def test_a_registry_that_is_away_is_a_passing_trouble(database_url, tmp_path):
    async with image_works(database_url, tmp_path, registry_url="http://127.0.0.1:9") as bench:
        failure = await bench.refuse(HELLO)
    assert failure.cause.code == "registry_unreachable"
    assert failure.transient
