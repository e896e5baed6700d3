"""Things break while a run is going on; it ends right all the same."""

import json
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import database
from tests.e2e.homes import Home, after_outage, embedded, five_processes, refresh, workers_of

pytestmark = pytest.mark.timeout(240)

SLOW = """
import contextlib, os, pathlib, socket
print("attempt", os.environ["CYNTHUS_ATTEMPT"], flush=True)
with contextlib.suppress(OSError):
    socket.create_connection(("127.0.0.1", int(os.environ["GATE"]))).recv(1)
pathlib.Path("outputs/done.txt").write_text("yes")
print("finished")
"""


class Gate:
    """Programs wait at it until it opens: a port, for their sandbox hides the files of a test."""

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0))

    def open(self) -> None:
        self.door.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.door.close()


def start_slow(home: Home, project: Path, name: str, gate: Gate) -> None:
    """Start a run that goes on until the gate opens; its program runs afterwards."""
    (project / "main.py").write_text(SLOW)
    port = gate.door.getsockname()[1]
    detached = home.cynthus("run", "-d", "--name", name, "--env", f"GATE={port}", cwd=project)
    assert detached.returncode == 0, detached.stderr
    home.wait_for(name, "RUNNING")


@pytest.fixture
def laptop(tmp_path):
    with embedded(tmp_path) as home:
        yield home


def platform_pid(home: Home) -> int:
    description = Path(home.environment["CYNTHUS_HOME"]) / "platform.json"
    return json.loads(description.read_text())["pid"]


def test_the_run_outlives_a_killed_platform(laptop, project, gate):
    start_slow(laptop, project, "outlives", gate)
    os.kill(platform_pid(laptop), signal.SIGKILL)
    assert workers_of(laptop.folder)
    up = laptop.cynthus("up", cwd=project)
    assert up.returncode == 0, up.stderr
    refresh(laptop)
    gate.open()
    run = laptop.wait_for("outlives", "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED"
    assert laptop.cynthus("logs", "outlives", cwd=project).stdout.endswith("finished\n")


def test_a_run_whose_machine_died_with_the_platform_is_tried_again(laptop, project, gate):
    start_slow(laptop, project, "again", gate)
    os.kill(platform_pid(laptop), signal.SIGKILL)
    for pid in workers_of(laptop.folder):
        os.kill(pid, signal.SIGKILL)
    gate.open()
    assert laptop.cynthus("up", cwd=project).returncode == 0
    refresh(laptop)
    run = laptop.wait_for("again", "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED"
    assert run["epoch"] == 2


def test_the_run_outlives_a_killed_database(laptop, project, gate):
    start_slow(laptop, project, "database", gate)
    pid_file = next(Path(laptop.environment["CYNTHUS_HOME"]).glob("postgres/**/postmaster.pid"))
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
    gate.open()
    run = after_outage(laptop, "database")
    assert run["state"] == "SUCCEEDED"
    assert run["epoch"] == 1


def test_a_second_up_finds_the_first_and_down_leaves_nothing(tmp_path, project):
    with embedded(tmp_path) as home:
        first = platform_pid(home)
        again = home.cynthus("up", cwd=project)
        assert again.returncode == 0
        assert platform_pid(home) == first
    assert workers_of(tmp_path) == []
    assert list(processes_below(tmp_path)) == []


def processes_below(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                continue
    return found


def test_a_database_of_ones_own_can_be_used_instead(tmp_path, project, postgres_server):
    (project / "main.py").write_text("print('elsewhere')")
    with database(postgres_server) as url, embedded(tmp_path, CYNTHUS_DATABASE_URL=url) as home:
        done = home.cynthus("run", cwd=project)
        assert (done.returncode, done.stdout) == (0, "elsewhere\n"), done.stderr
        assert not (Path(home.environment["CYNTHUS_HOME"]) / "postgres").exists()


def test_the_token_file_is_private_and_requests_without_it_are_refused(laptop):
    token = Path(laptop.environment["CYNTHUS_HOME"]) / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="401"):
        Home(laptop.folder, laptop.url, "", {}).get("/v1/runs")


def test_an_unwritable_state_folder_is_a_clear_error(tmp_path, project):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    (project / "main.py").write_text("print(1)")
    home = Home(tmp_path, "", "", {**os.environ, "CYNTHUS_HOME": str(blocked / "state"), "CI": "true"})
    done = home.cynthus("run", cwd=project)
    assert done.returncode not in {0, 1}
    assert "CYNTHUS_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_a_clear_error(laptop, tmp_path, project):
    taken = laptop.url.rsplit(":", 1)[1]
    other = {**laptop.environment, "CYNTHUS_HOME": str(tmp_path / "other"), "CYNTHUS_PORT": taken}
    done = Home(tmp_path, "", "", other).cynthus("up", cwd=project)
    assert done.returncode not in {0, 1}
    assert taken in done.stderr
    assert "CYNTHUS_PORT" in done.stderr


def test_a_service_that_was_killed_goes_on_where_it_was(tmp_path, project, gate, postgres_server):
    with database(postgres_server) as url, five_processes(tmp_path, url, CYNTHUS_BUS="postgres") as home:
        start_slow(home, project, "services", gate)
        for name in ("orchestrator", "provisioner", "builder"):
            process = home.processes[name]
            environment = dict(
                pair.split("=", 1)
                for pair in Path(f"/proc/{process.pid}/environ").read_text().split("\0")
                if "=" in pair
            )
            process.kill()
            process.wait()
            with (tmp_path / f"{name}.log").open("ab") as log:
                home.processes[name] = subprocess.Popen(process.args, env=environment, stdout=log, stderr=log)
        gate.open()
        run = after_outage(home, "services")
        assert (run["state"], run["epoch"]) == ("SUCCEEDED", 1)


@pytest.mark.needs("pubsub-emulator")
def test_the_platform_works_on_after_the_broker_lost_everything(
    tmp_path, project, gate, postgres_server, mortal_pubsub_emulator
):
    bus = {
        "CYNTHUS_BUS": "pubsub",
        "CYNTHUS_PUBSUB_PROJECT": "e2e-lost",
        "PUBSUB_EMULATOR_HOST": mortal_pubsub_emulator.address,
    }
    with database(postgres_server) as url, five_processes(tmp_path, url, **bus) as home:
        start_slow(home, project, "before", gate)
        mortal_pubsub_emulator.kill()
        mortal_pubsub_emulator.start()
        gate.open()
        assert home.wait_for("before", "SUCCEEDED", "FAILED")["state"] == "SUCCEEDED"
        (project / "main.py").write_text("print('after')")
        done = home.cynthus("run", "--name", "after", cwd=project)
        assert (done.returncode, done.stdout) == (0, "after\n"), done.stderr


@pytest.mark.needs("pubsub-emulator")
def test_a_message_nobody_understands_is_parked_seen_and_hinders_nobody(
    tmp_path, project, postgres_server, pubsub_emulator
):
    bus = {
        "CYNTHUS_BUS": "pubsub",
        "CYNTHUS_PUBSUB_PROJECT": "e2e-poison",
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
    }
    with database(postgres_server) as url, five_processes(tmp_path, url, **bus) as home:
        poison(pubsub_emulator, "projects/e2e-poison/topics/cynthus.run-requested")
        (project / "main.py").write_text("print('unhindered')")
        done = home.cynthus("run", "--name", "healthy", cwd=project)
        assert (done.returncode, done.stdout) == (0, "unhindered\n"), done.stderr
        listed = home.cynthus("admin", "parked", "ls", "-o", "json", cwd=project)
        rows = [json.loads(line) for line in listed.stdout.splitlines()]
        assert {row["service"] for row in rows} == {"builder", "datasets", "orchestrator"}
        shown = home.cynthus("admin", "parked", "show", "builder", rows[0]["id"], cwd=project)
        assert shown.returncode == 0, shown.stderr
        replayed = home.cynthus("admin", "parked", "replay", "builder", rows[0]["id"], cwd=project)
        assert replayed.returncode != 0
        assert "replay_failed" in replayed.stderr


def poison(emulator: str, topic: str) -> None:
    """Publish what is no event, as any other program with access could."""
    body = {"messages": [{"data": "bm8ganNvbg==", "attributes": {"ce-type": "dev.cynthus.run.requested.v1"}}]}
    request = urllib.request.Request(
        f"http://{emulator}/v1/{topic}:publish",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
