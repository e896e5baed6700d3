import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cynthus.containers.discovery import connect
from cynthus.containers.engine import Engine
from cynthus.containers.errors import EngineUnavailable
from cynthus.containers.labels import HOME
from tests.fixtures.environment_image import EnvironmentImage
from tests.fixtures.platform_for_workers import Given, PlatformForWorkers
from tests.integration.worker.conftest import Worker, end_for_good, wait_for, workers_of

Give = Callable[..., Given]

DOCKER = "/var/run/docker.sock"


@pytest.fixture
def platform() -> Iterator[PlatformForWorkers]:
    served = PlatformForWorkers()
    yield served
    served.close()
    assert not served.violations


@pytest.fixture
def engine_socket() -> str:
    """Where the tests of a module find their engine."""
    return DOCKER


@pytest.fixture
def engine(engine_socket: str) -> Engine:
    return connect(engine_socket)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def start_worker(
    platform: PlatformForWorkers, home: Path, tmp_path: Path, engine_socket: str
) -> Iterator[Callable[..., Worker]]:
    started: list[Worker] = []

    def start(**environment: str) -> Worker:
        settings = {"DOCKER_HOST": f"unix://{engine_socket}", **environment}
        worker = Worker(platform.url, home, tmp_path / "worker.log", **settings)
        started.append(worker)
        return worker

    yield start
    for given in platform.attempts.values():
        given.fenced = True
    for process in workers_of(home):
        process.terminate()
    psutil.wait_procs(workers_of(home), 30)
    for agent in workers_of(home):
        end_for_good(agent)
    for worker in started:
        worker.process.wait(10)
    if (tmp_path / "worker.log").exists():
        print((tmp_path / "worker.log").read_text())
    with connecting(engine_socket) as left:
        label = {HOME: str(home.resolve())}
        try:
            wait_for(lambda: not left.containers(label), 10)
        finally:
            for container in left.containers(label):
                left.remove(container.id)


@pytest.fixture
def worker(start_worker: Callable[..., Worker]) -> Worker:
    return start_worker()


@pytest.fixture
def give(platform: PlatformForWorkers, environment_image: EnvironmentImage) -> Give:
    """An order for a container that runs `script` as main.py."""

    def give(script: str, **changes: object) -> Given:
        image = changes.pop("image", {})
        assert isinstance(image, dict)
        return platform.give(script, **{**environment_image.order(**image), **changes})

    return give


@contextmanager
def connecting(path: str) -> Iterator[Engine]:
    deadline = time.monotonic() + 20
    while True:
        try:
            yield connect(path)
        except EngineUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


@contextmanager
def podman_service(folder: Path) -> Iterator[str]:
    """Podman's API on a socket of its own, with its own storage."""
    path = folder / "podman.sock"
    command = [
        "podman",
        "--runtime",
        "runc",
        "--root",
        str(folder / "root"),
        "--runroot",
        str(folder / "run"),
    ]
    with (folder / "podman.log").open("ab") as log:
        service = subprocess.Popen(
            [*command, "system", "service", "--time", "0", f"unix://{path}"],
            stdout=log,
            stderr=log,
            cwd=folder,  # its monitor leaves a file where it is started
        )
    try:
        wait_for(path.exists)
        yield str(path)
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(20)
        subprocess.run([*command, "rm", "--all", "--force"], capture_output=True, check=False)
        subprocess.run([*command, "system", "reset", "--force"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
