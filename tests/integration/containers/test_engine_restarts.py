"""The engine is killed, stopped and suspended below running programs."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.containers.conftest import Give
from tests.integration.containers.private_docker import PrivateDocker, private_docker
from tests.integration.containers.test_container_survival import COUNT, assert_whole
from tests.integration.worker.conftest import Worker

pytestmark = [
    pytest.mark.needs("docker", "docker-registry", "mmdebstrap", "skopeo", "root"),
    pytest.mark.timeout(300),
]

FOREVER = "import time\nprint('ready', flush=True)\ntime.sleep(1000)\n"
SLOWLY = COUNT.replace("0.05", "0.15")


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateDocker]:
    with private_docker(tmp_path_factory.mktemp("docker")) as engine:
        yield engine


@pytest.fixture
def engine_socket(docker: PrivateDocker, request: pytest.FixtureRequest) -> str:
    live = "lives_on" in request.node.name
    if docker.answers():
        docker.end(signal.SIGTERM)
    docker.start(live_restore=live)
    return docker.socket


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_lives_on_while_its_engine_is_restarted(
    platform: PlatformForWorkers,
    give: Give,
    worker: Worker,
    docker: PrivateDocker,
    number: int,
    engine_socket: str,
) -> None:
    given = give(SLOWLY, network="none")
    given.wait_for_text(b"4\n")

    docker.end(number)
    docker.start(live_restore=True)

    assert_whole(platform, given)
    assert give("print('next')", network="none").result["exit_code"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_ends_with_its_engine_is_an_infrastructure_failure(
    give: Give, worker: Worker, docker: PrivateDocker, number: int
) -> None:
    given = give(FOREVER, network="none")
    given.wait_for_text(b"ready")

    docker.end(number)
    docker.start(live_restore=False)

    assert given.result["cause"]["code"] == "engine_restarted"
    assert given.text() == b"ready\n"
    assert give("print('next')", network="none").result["exit_code"] == 0


def test_a_program_whose_engine_hangs_is_stopped_all_the_same(
    give: Give, worker: Worker, docker: PrivateDocker
) -> None:
    given = give(FOREVER, network="none")
    given.wait_for_text(b"ready")
    docker.signal(signal.SIGSTOP)
    begun = time.monotonic()
    given.stop = "cancelled"

    result = given.result
    docker.signal(signal.SIGCONT)

    assert result["cause"]["code"] == "cancelled"
    assert time.monotonic() - begun < 10
    assert given.beats
