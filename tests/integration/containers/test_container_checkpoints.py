"""Checkpoints, notices and leases of programs in containers."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.integration.containers.conftest import Give
from tests.integration.worker.conftest import Worker, gone, wait_for, workers_of

pytestmark = [
    pytest.mark.needs("docker", "docker-registry", "mmdebstrap", "skopeo", "root"),
    pytest.mark.timeout(180),
]

LEASE_S = 3.0
SAVING = """
import os, signal, sys, time
folder = os.environ['CYNTHUS_CHECKPOINT_DIR']
path = f'{folder}/n'
n = int(open(path).read()) if os.path.exists(path) else 0
print(n, folder, flush=True)
with open(f'{path}.fresh', 'w') as file: file.write(str(n + 1))
os.replace(f'{path}.fresh', path)
"""


@pytest.mark.parametrize(("place", "folder"), [(None, "/run/cynthus/checkpoint"), ("ckpt", "/app/ckpt")])
def test_the_next_attempt_goes_on_from_the_checkpoint(
    platform: PlatformForWorkers, worker: Worker, give: Give, place: str | None, folder: str
) -> None:
    first = give(SAVING + "time.sleep(1000)\n", checkpoint_every_s=0.2, image={"checkpoint": place})
    saved = first.wait_for_checkpoint()
    assert platform.files(saved["manifest"]) == {"n": b"1"}
    first.stop = "cancelled"
    assert first.result["cause"]["code"] == "cancelled"

    second = give(
        SAVING + "sys.exit(1)\n",
        image={"checkpoint": place},
        run_id=first.order["run_id"],
        epoch=2,
        token="attempt-two",
        checkpoint=saved["manifest"],
    )

    assert second.result["exit_code"] == 1
    assert second.text().decode().split() == ["1", folder]
    assert platform.files(second.checkpoints[-1]["manifest"]) == {"n": b"2"}


def test_links_of_a_container_lead_nowhere_on_its_machine(
    platform: PlatformForWorkers, worker: Worker, give: Give
) -> None:
    given = give(
        SAVING + "os.rmdir('outputs')\nos.symlink('/etc', 'outputs')\n"
        "os.symlink('/etc', f'{folder}/etc')\nsys.exit(1)\n"
    )

    assert given.result["outputs"] is None
    assert platform.files(given.checkpoints[-1]["manifest"]) == {"n": b"1"}


def test_a_notice_saves_the_checkpoint_first(
    platform: PlatformForWorkers, worker: Worker, give: Give
) -> None:
    given = give(SAVING + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ntime.sleep(1000)\n")
    given.wait_for_text(b"checkpoint")

    worker.process.send_signal(signal.SIGTERM)

    cause = given.result["cause"]
    assert cause["code"] == "preempted"
    assert cause["evidence"][0] == "checkpoint saved: 1 files, 1 bytes"
    assert any(line.startswith("notice: SIGTERM") for line in cause["evidence"])


def test_a_killed_worker_is_replaced_by_one_that_goes_on_saving(
    platform: PlatformForWorkers, worker: Worker, give: Give, home: Path
) -> None:
    given = give(
        SAVING + "for n in range(100):\n    time.sleep(0.2)\n    open(path, 'w').write(str(n))\n",
        checkpoint_every_s=0.3,
    )
    given.wait_for_checkpoint()
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait(10)
    before = len(given.checkpoints)

    given.wait_for_checkpoint(before + 2)
    assert not given.finished
    given.stop = "cancelled"
    assert given.result["cause"]["code"] == "cancelled"


def test_a_container_of_a_stopped_worker_ends_with_its_lease(
    platform: PlatformForWorkers, worker: Worker, give: Give, home: Path
) -> None:
    given = give("import time\nprint('ready', flush=True)\ntime.sleep(1000)\n", lease_s=LEASE_S)
    given.wait_for_text(b"ready")
    (agent,) = workers_of(home)
    pid = given.started[0]["pid"]

    agent.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    try:
        wait_for(lambda: gone(pid), LEASE_S)
        assert time.monotonic() - stopped_at < LEASE_S
    finally:
        agent.send_signal(signal.SIGCONT)

    assert give("print('next')").result["exit_code"] == 0
    assert not given.finished


def test_a_program_goes_before_its_worker_where_memory_gets_short(give: Give, worker: Worker) -> None:
    given = give("print(open('/proc/self/oom_score_adj').read())")

    assert given.result["exit_code"] == 0
    assert int(given.text()) > int(Path(f"/proc/{worker.process.pid}/oom_score_adj").read_text())


def test_a_child_over_its_memory_is_named_with_the_count(give: Give, worker: Worker) -> None:
    given = give(
        "import os, sys\nif (pid := os.fork()) == 0:\n    block = bytearray(400_000_000)\n"
        "    for n in range(0, len(block), 4096): block[n] = 1\n    os._exit(0)\n"
        "os.waitpid(pid, 0)\nsys.exit(137)\n",
        resources={"memory_bytes": 200_000_000},
    )

    assert given.result["exit_code"] == 137
    assert given.result["cause"]["code"] == "oom"
    assert "oom_kill 0 -> 1" in given.result["cause"]["evidence"][0]
