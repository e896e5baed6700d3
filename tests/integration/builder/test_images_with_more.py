"""Projects that bring Debian packages or a Dockerfile of their own, built by the works as a whole."""

import json
import subprocess

import pytest

from tests.fixtures.image_works import Bench, image_works
from tests.fixtures.projects import OPENCV_WITH_APT

pytestmark = [
    pytest.mark.needs("docker-registry", "mmdebstrap", "skopeo", "docker"),
    pytest.mark.timeout(400),
]


@pytest.fixture
async def bench(database_url, tmp_path, registry, base_image):
    base = {"reference": base_image.reference, "python": base_image.python, "glibc": [2, 36]}
    url = f"{registry.url}/{tmp_path.name.replace('_', '-').lower().strip('-')}"
    async with image_works(database_url, tmp_path, registry_url=url, bases={"3.11": base}) as bench:
        bench.host = registry.host
        yield bench


def ran(bench: Bench, built) -> str:
    place = f"{bench.host}/{built.image.repository}@{built.image.digest}"
    done = subprocess.run(
        ["docker", "run", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--network=none",
         place, *built.image.command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    subprocess.run(["docker", "rmi", place], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_opencv_runs_with_the_libraries_that_its_wheel_lacks(bench: Bench):
    built = await bench.build(OPENCV_WITH_APT.files, "edges.py")
    assert built.image.runtime == "container"
    assert ran(bench, built) == "edges 1\n"
    kinds = [layer.kind for layer in (await bench.works.catalogue.find("ada", built.image.digest)).layers]
    assert kinds.count("system") == 1
    assert any("libglib2.0-0" in note for note in built.notes), built.notes
    again = await bench.build({**OPENCV_WITH_APT.files, "more.py": "1\n"}, "edges.py")
    assert again.image.environment == built.image.environment


async def test_a_package_that_does_not_exist_is_told_with_a_near_one(bench: Bench):
    failed = await bench.refuse({"main.py": "1\n", "cynthus.toml": '[image]\napt = ["libgll1"]\n'})
    assert failed.cause.code == "apt_not_found"
    assert "libgl1" in failed.cause.fix


async def test_a_dockerfile_of_the_project_wins(bench: Bench, base_image):
    text = f'FROM {base_image.reference}\nWORKDIR /srv\nCOPY . .\nUSER 1000\nCMD ["python3", "hello.py"]\n'
    built = await bench.build({"Dockerfile": text, "hello.py": "print('from the Dockerfile')\n"}, None)
    assert built.image.kind == "dockerfile"
    assert built.image.base == base_image.reference
    assert ran(bench, built) == "from the Dockerfile\n"


async def test_a_dockerfile_on_a_base_that_is_known_moves_no_byte_of_it(bench: Bench, base_image):
    packed = await bench.build({"main.py": "print('hello')\n"})
    base = (await bench.works.catalogue.find("ada", packed.image.digest)).layers[0]
    text = f"FROM {base_image.reference}\nCOPY . /srv\n"
    built = await bench.build({"Dockerfile": text, "hello.py": "1\n"}, None, project="other")
    manifest = bench.works.registry.manifest(built.image.repository, built.image.digest)
    assert base.kind == "base"
    assert json.loads(manifest.body)["layers"][0]["digest"] == base.digest


async def test_a_dockerfile_that_fails_is_told_with_its_line(bench: Bench, base_image):
    failed = await bench.refuse({"Dockerfile": f"FROM {base_image.reference}\nRUN nothing-like-it\n"}, None)
    assert failed.cause.code == "dockerfile_failed"
    assert "Line 2" in failed.cause.message
    assert "Install nothing-like-it" in failed.cause.fix
