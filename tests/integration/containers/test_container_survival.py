"""Programs in containers outlive the worker and the engine; and nothing is left when nobody wants them."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cynthus.containers.engine import Engine
from cynthus.containers.labels import HOME
from cynthus.provisioner.adapters.left_containers import LeftContainers
from cynthus.provisioner.adapters.processes import ProcessMachines
from tests.fixtures.platform_for_workers import Fault, Given, PlatformForWorkers
from tests.integration.containers.conftest import Give
from tests.integration.worker.conftest import Worker, end_for_good, wait_for, workers_of

pytestmark = pytest.mark.needs("docker", "docker-registry", "mmdebstrap", "skopeo", "root")

COUNT = (
    "import os, sys, time\n"
    "open('outputs/runs', 'a').write('x')\n"
    "for n in range(60):\n"
    "    os.write(1 + n % 2, f'{n}\\n'.encode())\n"
    "    time.sleep(0.05)\n"
    "os.write(1, b'\\xff\\x00 the end')\n"
)
ODD, EVEN = ("".join(f"{n}\n" for n in range(start, 60, 2)).encode() for start in (1, 0))
FOREVER = "import time\nprint('ready', flush=True)\ntime.sleep(1000)\n"


def assert_whole(platform: PlatformForWorkers, given: Given) -> None:
    """Run once, to its end, every byte of its log once."""
    assert (given.result["exit_code"], given.result["cause"]) == (0, None), given.result
    assert given.text("stdout") == EVEN + b"\xff\0 the end"
    assert given.text("stderr") == ODD
    assert platform.outputs(given) == {"runs": b"x"}


def kill_agent(home: Path) -> None:
    (agent,) = workers_of(home)
    agent.kill()
    wait_for(lambda: [p for p in workers_of(home) if p.pid != agent.pid])


@pytest.mark.parametrize("when", [b"3\n", b"30\n", b"the end"])
def test_a_killed_worker_is_replaced_and_its_program_taken_over(
    platform: PlatformForWorkers, give: Give, worker: Worker, home: Path, when: bytes
) -> None:
    given = give(COUNT)
    given.wait_for_text(when, "stderr" if when == b"3\n" else "stdout")

    kill_agent(home)

    assert_whole(platform, given)
    assert len(given.started) <= 2
    assert give("print('next')").result["exit_code"] == 0
    assert len(workers_of(home)) == 1


def test_a_worker_killed_again_and_again_loses_nothing(
    platform: PlatformForWorkers, give: Give, worker: Worker, home: Path
) -> None:
    given = give(COUNT.replace("0.05", "0.1"))
    for mark in (b"4\n", b"20\n", b"40\n"):
        given.wait_for_text(mark)
        kill_agent(home)

    assert_whole(platform, given)


def test_a_chunk_whose_answer_was_lost_with_the_worker_is_sent_again_as_it_was(
    platform: PlatformForWorkers, give: Give, worker: Worker, home: Path
) -> None:
    given = give(COUNT)
    given.wait_for_text(b"4\n")
    platform.faults.append(Fault("/logs", "lose", times=10_000))
    chunks = len(given.chunks)
    wait_for(lambda: len(given.chunks) > chunks)
    kill_agent(home)
    platform.faults.clear()

    assert_whole(platform, given)


def test_a_flood_of_output_survives_a_killed_worker(
    platform: PlatformForWorkers, give: Give, worker: Worker, home: Path
) -> None:
    given = give(
        "import os\nfor n in range(30000):\n    os.write(1, (b'%d ' % n).ljust(999, b'.') + b'\\n')\n"
    )
    wait_for(lambda: given.size("stdout") > 1_000_000)
    kill_agent(home)

    assert given.result["exit_code"] == 0
    lines = given.text().splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(30000))
    assert {len(line) for line in lines} == {999}


def test_a_cancel_reaches_a_program_that_was_taken_over(give: Give, worker: Worker, home: Path) -> None:
    given = give(FOREVER)
    given.wait_for_text(b"ready")
    kill_agent(home)
    given.stop = "cancelled"

    assert (given.result["cause"]["code"], given.result["signal"]) == ("cancelled", signal.SIGTERM)


def test_a_fenced_program_is_killed_by_the_worker_that_took_it_over(
    give: Give, worker: Worker, home: Path, engine: Engine
) -> None:
    given = give(FOREVER)
    given.wait_for_text(b"ready")
    given.fenced = True
    (agent,) = workers_of(home)
    agent.kill()

    wait_for(lambda: not engine.containers({HOME: str(home.resolve())}))
    assert not given.finished


def test_the_lease_of_a_killed_worker_is_not_prolonged_by_its_successor(
    platform: PlatformForWorkers, give: Give, worker: Worker, home: Path, engine: Engine
) -> None:
    given = give(FOREVER, lease_s=4.5, next_beat_s=0.2)
    given.wait_for_text(b"ready")
    wait_for(lambda: len(given.beats) > 2)
    platform.away = True
    begun = time.monotonic()
    kill_agent(home)

    wait_for(lambda: not engine.containers({HOME: str(home.resolve())}))
    assert time.monotonic() - begun < 4.5
    platform.away = False


def test_neither_token_nor_secret_shows_where_a_worker_is_replaced(
    give: Give, worker: Worker, home: Path
) -> None:
    given = give(FOREVER, secrets={"KEY": "canary-73"})
    given.wait_for_text(b"ready")
    kill_agent(home)
    wait_for(lambda: len(given.started) == 2)
    (agent,) = workers_of(home)

    seen = b"".join(Path(f"/proc/{agent.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    held = [str(link.readlink()) for link in Path(f"/proc/{agent.pid}/fd").iterdir()]

    assert b"machine-token" not in seen
    assert given.order["token"].encode() not in seen
    assert not [place for place in held if "handover" in place]
    given.stop = "cancelled"
    assert given.result["cause"]["code"] == "cancelled"


def kill_both(home: Path) -> None:
    (agent,) = workers_of(home)
    end_for_good(agent)
    wait_for(lambda: not workers_of(home))


def test_a_container_whose_worker_and_keeper_are_dead_is_a_machine_until_it_is_deleted(
    give: Give, worker: Worker, home: Path, engine: Engine, engine_socket: str
) -> None:
    given = give(FOREVER)
    given.wait_for_text(b"ready")
    left = LeftContainers(home.resolve(), {"DOCKER_HOST": f"unix://{engine_socket}"})
    machines = ProcessMachines(home, containers=left)
    kill_both(home)
    assert machines._list() == {"machine-1"}

    machines._delete("machine-1")

    assert machines._list() == frozenset()
    assert not engine.containers({HOME: str(home.resolve())})


def test_a_container_that_nobody_takes_over_is_removed(
    give: Give, worker: Worker, home: Path, engine_socket: str
) -> None:
    given = give(FOREVER)
    given.wait_for_text(b"ready")
    left = LeftContainers(home.resolve(), {"DOCKER_HOST": f"unix://{engine_socket}"})
    machines = ProcessMachines(home, containers=left, take_over_s=0.5)
    kill_both(home)
    assert machines._list() == {"machine-1"}

    wait_for(lambda: machines._list() == frozenset())


def test_a_starting_worker_removes_what_dead_ones_left(
    give: Give, start_worker: Callable[..., Worker], home: Path, engine: Engine
) -> None:
    start_worker()
    given = give(FOREVER)
    given.wait_for_text(b"ready")
    kill_both(home)
    assert engine.containers({HOME: str(home.resolve())})

    start_worker()

    wait_for(lambda: not engine.containers({HOME: str(home.resolve())}))


def test_a_killed_container_is_an_infrastructure_failure(
    give: Give, worker: Worker, home: Path, engine: Engine
) -> None:
    given = give(FOREVER)
    given.wait_for_text(b"ready")
    (container,) = engine.containers({HOME: str(home.resolve())})

    engine.kill(container.id)

    assert given.result["cause"]["code"] == "engine_restarted"


def test_a_stopped_container_is_an_infrastructure_failure_even_if_its_program_leaves_politely(
    give: Give, worker: Worker, home: Path, engine: Engine
) -> None:
    given = give(
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print('ready', flush=True)\nwhile True: time.sleep(0.1)\n"
    )
    given.wait_for_text(b"ready")
    (container,) = engine.containers({HOME: str(home.resolve())})

    engine.stop(container.id, 5)

    assert given.result["cause"]["code"] == "engine_restarted"
