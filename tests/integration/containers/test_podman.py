"""The same programs in Podman's containers."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cynthus.worker.containers.network import NAME
from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.containers.conftest import Give, podman_service
from tests.integration.containers.test_container_runs import LOOK, STUBBORN
from tests.integration.containers.test_container_survival import COUNT, assert_whole, kill_agent
from tests.integration.worker.conftest import Worker

pytestmark = [
    pytest.mark.needs("podman", "docker-registry", "mmdebstrap", "skopeo", "root"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with podman_service(tmp_path_factory.mktemp("podman")) as path:
        yield path
    subprocess.run(["podman", "network", "rm", NAME], check=False, capture_output=True)


@pytest.fixture
def engine_socket(podman: str) -> str:
    return podman


def test_a_program_runs_and_every_byte_of_its_log_arrives(
    platform: PlatformForWorkers, give: Give, worker: Worker
) -> None:
    given = give(
        "import os\nos.write(1, bytes(range(256)))\nos.write(2, b'x')\nopen('outputs/a', 'w').write('1')"
    )

    assert given.result["cause"] is None, given.result
    assert (given.text("stdout"), given.text("stderr")) == (bytes(range(256)), b"x")
    assert platform.outputs(given) == {"a": b"1"}
    assert "podman" in platform.hellos[0]["runtimes"]


def test_a_program_has_no_privilege_and_writes_only_where_it_may(
    platform: PlatformForWorkers, give: Give, worker: Worker
) -> None:
    data = platform.snapshot({"table.csv": "a,b\n"})
    given = give(LOOK, data=[{"mount": "data", "manifest": data}], secrets={"KEY": "v"}, network="none")

    assert given.result["exit_code"] == 0, given.text("stderr")
    seen = json.loads(given.text())
    assert [int(value, 16) for value in seen["capabilities"]] == [0, 0, 0, 0, 0]
    assert (seen["nnp"], seen["seccomp"], seen["uid"]) == ("1", "2", 1000)
    written = {path for path, outcome in seen["writes"].items() if outcome == "written"}
    assert written == {"/tmp", "/app", "/dev/shm"}
    assert seen["data"][0] == "a,b\n"
    assert "written" not in seen["data"]


@pytest.mark.parametrize(("script", "ending"), [
    ("raise SystemExit(137)", (137, None, "user_exit")),
    ("import os\nos.kill(os.getpid(), 9)", (None, 9, "signal")),
    ("b = []\nwhile True: b.append(bytearray(8000000))", (None, 9, "oom")),
    ("", (None, None, "command_not_found")),
])  # fmt: skip
def test_an_ending_is_told_from_another(
    give: Give, worker: Worker, script: str, ending: tuple[int | None, int | None, str]
) -> None:
    command = ["python3.11", "main.py"] if script else ["no-such-program"]
    result = give(
        script, image={"command": command}, network="none", resources={"memory_bytes": 100_000_000}
    ).result

    assert (result["exit_code"], result["signal"], result["cause"]["code"]) == ending


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(give: Give, worker: Worker) -> None:
    given = give(STUBBORN, grace_s=0.5, network="none")
    given.wait_for_text(b"ready")
    given.stop = "cancelled"

    assert (given.result["cause"]["code"], given.result["signal"]) == ("cancelled", signal.SIGKILL)


def test_a_killed_worker_is_replaced_and_its_program_taken_over(
    platform: PlatformForWorkers, give: Give, worker: Worker, home: Path
) -> None:
    given = give(COUNT, network="none")
    given.wait_for_text(b"4\n")

    kill_agent(home)

    assert_whole(platform, given)
