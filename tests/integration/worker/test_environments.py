import os
import subprocess
from pathlib import Path

import pytest
import uv

from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.worker.conftest import StartWorker, Worker


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("lock")
    (folder / "requirements.in").write_text("iniconfig==2.3.0\n")
    command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--generate-hashes", "--no-emit-index-url"]
    compiled = subprocess.run(
        [*command, "--python-version", "3.11", "--no-header", "requirements.in"],
        cwd=folder,
        env={**os.environ, "UV_SYSTEM_CERTS": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    return compiled.stdout


IMPORT = "import iniconfig, sys\nprint(iniconfig.__name__, sys.prefix)\n"


def test_packages_of_the_lock_are_there_and_installed_once(
    platform: PlatformForWorkers, worker: Worker, lock: str
) -> None:
    given, again = platform.give(IMPORT, lock=lock), platform.give(IMPORT, lock=lock)

    assert [given.result["exit_code"], again.result["exit_code"]] == [0, 0], given.result
    assert given.text() == again.text()
    assert len(list((worker.home / "cache" / "envs").iterdir())) == 1
    assert len([path for _, path in platform.requests if given.order["image"]["lock"][7:] in path]) == 1


def test_two_workers_at_once_build_an_environment_once(
    platform: PlatformForWorkers, start_worker: StartWorker, lock: str
) -> None:
    first = start_worker()
    start_worker()
    given = [platform.give(IMPORT, lock=lock) for _ in range(2)]

    assert [one.result["exit_code"] for one in given] == [0, 0]
    assert len({one.text() for one in given}) == 1
    assert len(list((first.home / "cache" / "envs").iterdir())) == 1
    assert len([path for _, path in platform.requests if given[0].order["image"]["lock"][7:] in path]) == 1


def test_a_half_built_environment_is_built_again(
    platform: PlatformForWorkers, worker: Worker, lock: str
) -> None:
    assert platform.give(IMPORT, lock=lock).result["exit_code"] == 0
    (environment,) = (worker.home / "cache" / "envs").iterdir()
    (environment / ".complete").unlink()
    for path in environment.rglob("iniconfig/__init__.py"):
        path.unlink()

    assert platform.give(IMPORT, lock=lock).result["exit_code"] == 0


def test_an_environment_that_cannot_be_made_is_explained(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    lock = "no-such-distribution-of-cynthus==1.0 --hash=sha256:" + "0" * 64 + "\n"
    given = platform.give("print(1)", lock=lock)

    cause = given.result["cause"]

    assert cause["code"] == "environment_failed"
    assert any("no-such-distribution-of-cynthus" in line for line in cause["evidence"])
    assert not given.started


@pytest.mark.parametrize("python", ["/usr/bin/python3", "3.11; rm -rf", "2.1"])
def test_a_python_that_cannot_be_had_is_explained(
    platform: PlatformForWorkers, worker: Worker, python: str
) -> None:
    given = platform.give("print(1)", image={"python": python})

    assert given.result["cause"]["code"] == "environment_failed"


def test_an_environment_being_built_by_a_killed_worker_is_built_by_the_next(
    platform: PlatformForWorkers, start_worker: StartWorker, lock: str, tmp_path: Path
) -> None:
    first = start_worker()
    given = platform.give(IMPORT, lock=lock)
    envs = first.home / "cache" / "envs"
    while not envs.exists() or not list(envs.iterdir()):
        assert first.process.poll() is None
    first.kill()
    given.fenced = True
    start_worker()

    assert platform.give(IMPORT, lock=lock).result["exit_code"] == 0
