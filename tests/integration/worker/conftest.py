import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fixtures.platform_for_workers import MACHINE_TOKEN, PlatformForWorkers

StartWorker = Callable[..., "Worker"]


class Worker:
    """A real worker process."""

    def __init__(self, url: str, home: Path, log: Path, **environment: str) -> None:
        self.home = home
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cynthus.worker", "--machine", "machine-1", "--home", str(home)],
                env={
                    **os.environ,
                    "CYNTHUS_WORKER_URL": url,
                    "CYNTHUS_WORKER_TOKEN": MACHINE_TOKEN,
                    "UV_SYSTEM_CERTS": "1",
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    @property
    def below_the_supervisor(self) -> list[psutil.Process]:
        (supervisor,) = psutil.Process(self.process.pid).children()
        return supervisor.children(recursive=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@pytest.fixture
def platform() -> Iterator[PlatformForWorkers]:
    served = PlatformForWorkers()
    yield served
    served.close()
    assert not served.violations


@pytest.fixture(params=["off"])
def sandbox(request: pytest.FixtureRequest) -> str:
    """How programs run; BOTH_WAYS asks for the other one too."""
    mode: str = request.param
    return mode


BOTH_WAYS = pytest.mark.parametrize(
    "sandbox", ["off", pytest.param("required", marks=pytest.mark.needs("bubblewrap"))], indirect=True
)


@pytest.fixture
def start_worker(platform: PlatformForWorkers, tmp_path: Path, sandbox: str) -> Iterator[StartWorker]:
    started: list[Worker] = []

    def start(**environment: str) -> Worker:
        home = Path(environment.pop("home", str(tmp_path / "home")))
        environment.setdefault("CYNTHUS_WORKER_SANDBOX", sandbox)
        worker = Worker(platform.url, home, tmp_path / "worker.log", **environment)
        started.append(worker)
        return worker

    yield start
    for given in platform.attempts.values():
        given.fenced = True
    for worker in started:
        worker.end()
        for left in workers_of(worker.home):
            end_for_good(left)
    print((tmp_path / "worker.log").read_text())


@pytest.fixture
def worker(start_worker: StartWorker) -> Worker:
    return start_worker()


def gone(pid: int) -> bool:
    """No such process, or only its entry."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def workers_of(home: Path) -> list[psutil.Process]:
    """The agents that work in this home, without their supervisors."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "cynthus.worker" in command and str(home.resolve()) in command:
            found.append(process)
    return found


def end_for_good(agent: psutil.Process) -> None:
    """With its keeper, before that can take its place."""
    both = [*agent.children(), agent]
    for process in both:
        process.suspend()
    for process in both:
        process.kill()


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
