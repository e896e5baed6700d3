"""A platform whose machines come from the hostile provider, as a user rehearses with it."""

import json
import re
import subprocess
import sys
import time
import urllib.request

import pytest

from cynthus.provisioner.hostile import process_table
from tests.e2e.homes import embedded

pytestmark = pytest.mark.timeout(240)

HELLO = 'import os\nprint("attempt", os.environ["CYNTHUS_ATTEMPT"], flush=True)\n'
PATIENT = HELLO + 'import time\ntime.sleep(600 if os.environ["CYNTHUS_ATTEMPT"] < "3" else 0)\n'


class Provider:
    def __init__(self, folder, **knobs):
        config = folder / "hostile.json"
        config.write_text(json.dumps({"preset": "calm", "kill_after_s": 2, **knobs}))
        command = [sys.executable, "-m", "cynthus.provisioner.hostile", "--folder", str(folder / "provider")]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--config", str(config)], stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip()

    def ask(self, method, path, document=None):
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, body, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def until(self, holds, seconds=60.0):
        deadline = time.monotonic() + seconds
        while not (found := holds(self.ask("GET", "/ledger"))):
            assert time.monotonic() < deadline, self.ask("GET", "/ledger")
            time.sleep(0.1)
        return found

    def end(self):
        self.ask("POST", "/:heal")
        truth = self.ask("POST", "/:clear")
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
        living = process_table.living()
        for machine in truth["past"]:
            assert not living.keys() & set(machine["pids"])


@pytest.fixture
def provider(tmp_path):
    folder = tmp_path / "cloud"
    folder.mkdir()
    running = Provider(folder)
    yield running
    running.end()


def platform(tmp_path, provider):
    state = tmp_path / "platform"
    state.mkdir()
    return embedded(
        state,
        CYNTHUS_PROVISIONER_MACHINES="hostile",
        CYNTHUS_PROVISIONER_HOSTILE_URL=provider.url,
        CYNTHUS_PROVISIONER_WARM="0",
        CYNTHUS_WORKER_SANDBOX="off",
    )


def test_a_run_boots_a_machine_ends_and_leaves_none(tmp_path, project, provider):
    (project / "main.py").write_text(HELLO)
    with platform(tmp_path, provider) as home:
        done = home.cynthus("run", "main.py", cwd=project)
        assert done.returncode == 0, done.stderr
        assert "attempt 1" in done.stdout
        truth = provider.until(lambda truth: not truth["machines"] and truth)
        (past,) = truth["past"]
        assert past["how"] == "deleted"


def test_a_machine_that_is_taken_away_costs_an_attempt_and_nothing_of_it_is_left(tmp_path, project, provider):
    (project / "main.py").write_text(PATIENT)
    with platform(tmp_path, provider) as home:
        started = home.cynthus("run", "--detach", "main.py", cwd=project)
        assert started.returncode == 0, started.stderr
        run = re.findall(r"run_\w+", started.stdout + started.stderr)[0]
        for attempt, fate in enumerate(("preempt", "vanish"), start=1):
            machine = _running(provider, home, run, attempt)
            everything = _below(machine["pids"][0])
            assert len(everything) >= 3, "worker, supervisor, program"
            provider.ask("POST", f"/machines/{machine['machine']}:{fate}", {"notice_s": 4})
            provider.until(lambda truth, gone=machine: gone["machine"] not in str(truth["machines"]))
            assert not everything & process_table.living().keys()
        ended = home.wait_for(run, "SUCCEEDED", "FAILED")
        assert ended["state"] == "SUCCEEDED"
        truth = provider.until(lambda truth: not truth["machines"] and truth)
        first, second, third = truth["past"]
        assert first["noticed"] is not None
        assert (second["how"], third["how"]) == ("vanished", "deleted")


def _running(provider, home, run, attempt):
    """The machine, once this attempt of the run has said its first word on it."""
    deadline = time.monotonic() + 60
    while f"attempt {attempt}" not in home.cynthus("logs", run, cwd=home.folder).stdout:
        assert time.monotonic() < deadline, home.run_of(run)
        time.sleep(0.2)
    (machine,) = provider.ask("GET", "/ledger")["machines"]
    return machine


def _below(worker):
    table = process_table.living()
    return process_table.below(table, [table[worker].parent])
