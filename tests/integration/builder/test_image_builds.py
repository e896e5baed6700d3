"""Images of real projects in a real registry, run by real engines."""

import json
import os
import subprocess

import pytest

from cynthus.builder.domain.build import Built
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
        yield bench


def reference(bench, built: Built) -> str:
    host = bench.settings.registry_url.removeprefix("http://").partition("/")[0]
    return f"{host}/{built.image.repository}@{built.image.digest}"


@pytest.mark.needs("docker")
async def test_an_image_runs_with_docker_as_nobody_in_a_read_only_root(bench):
    built = await bench.build(HELLO)
    ran = subprocess.run(
        ["docker", "run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none", reference(bench, built)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stdout == "hello {'a': 1}\n", ran.stderr
