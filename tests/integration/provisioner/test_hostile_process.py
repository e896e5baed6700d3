"""The hostile provider as a process of its own: killed and started again, it forgets nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from cynthus.provisioner.hostile import process_table
from cynthus.provisioner.hostile.ledger import Ledger
from tests.fixtures.hostile import TINY, is_alive, left


class Running:
    """A provider that was started from the command line."""

    def __init__(self, folder, *options):
        command = [sys.executable, "-m", "cynthus.provisioner.hostile", "--folder", str(folder)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.url = self.process.stdout.readline().strip()

    def ask(self, method, path, document=None):
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def machines(self):
        return {machine["machine"]: machine for machine in self.ask("GET", "/ledger")["machines"]}

    def until(self, holds):
        deadline = time.monotonic() + 15
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def pid(self, name):
        self.until(lambda: self.machines()[name]["pids"])
        return self.machines()[name]["pids"][0]

    def end(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def folder(tmp_path):
    """Whatever happens in a test, neither provider nor machine outlives it."""
    folder = tmp_path / "provider"
    yield folder
    table = process_table.living()
    mine = [pid for pid in table if str(folder) in process_table.arguments(pid)]
    for pid in process_table.below(table, left(folder)) | set(mine):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def calm(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"preset": "calm", "command": TINY, "kill_after_s": 0.5}))
    return ("--config", str(file), "--seed", "3")


def test_machines_live_on_while_the_provider_is_dead_and_are_its_own_again(folder, calm):
    provider = Running(folder, *calm)
    operation = provider.ask("POST", "/zones/zone-a/instances?requestId=r-1", {"name": "cyn-a"})
    pid = provider.pid("cyn-a")
    provider.end()
    assert is_alive(pid)
    again = Running(folder, *calm)
    assert again.machines()["cyn-a"]["pids"] == [pid]
    replayed = again.ask("POST", "/zones/zone-a/instances?requestId=r-1", {"name": "cyn-a"})
    assert (replayed["name"], replayed["status"]) == (operation["name"], "DONE")
    assert list(again.machines()) == ["cyn-a"]
    time.sleep(0.3)
    assert again.machines()["cyn-a"]["pids"] == [pid]
    again.ask("DELETE", "/zones/zone-a/instances/cyn-a")
    again.until(lambda: not again.machines())
    assert not is_alive(pid)
    assert left(folder) == []
    again.end(signal.SIGTERM)
    assert again.process.returncode == 0


def test_what_was_accepted_is_carried_out_after_a_restart(folder, calm):
    provider = Running(folder, *calm)
    provider.ask("PUT", "/config", {"create_s": [0.5, 0.5], "delete_s": [0.5, 0.5]})
    provider.ask("POST", "/zones/zone-a/instances", {"name": "cyn-a", "metadata": {"worker_token": "t-1"}})
    provider.end()
    provider = Running(folder)
    pid = provider.pid("cyn-a")
    provider.ask("DELETE", "/zones/zone-a/instances/cyn-a")
    provider.end()
    again = Running(folder)
    again.until(lambda: not again.machines())
    assert not is_alive(pid)
    (past,) = again.ask("GET", "/ledger")["past"]
    assert past["how"] == "deleted"
    again.end()


def test_the_configuration_that_was_set_last_stays(folder, calm):
    provider = Running(folder, *calm)
    provider.ask("PUT", "/config", {"quota": 5})
    provider.end()
    again = Running(folder, *calm)
    document = again.ask("GET", "/config")
    assert (document["knobs"]["quota"], document["seed"], document["restart"]) == (5, 3, 1)
    again.end()


def test_a_folder_has_one_provider(folder, calm):
    provider = Running(folder, *calm)
    other = Running(folder, *calm)
    assert other.url == ""
    other.end()
    assert other.process.returncode == 2
    provider.end()


def test_all_machines_can_be_cleared_away(folder, calm):
    provider = Running(folder, *calm)
    for name in ("cyn-a", "cyn-b"):
        provider.ask("POST", "/zones/zone-a/instances", {"name": name})
    pids = [provider.pid(name) for name in ("cyn-a", "cyn-b")]
    assert provider.ask("POST", "/:clear")["machines"] == []
    assert not any(map(is_alive, pids))
    assert left(folder) == []
    provider.end()


def test_it_is_hostile_unless_told_otherwise(folder):
    provider = Running(folder)
    knobs = provider.ask("GET", "/config")["knobs"]
    assert knobs["broken"] > 0
    assert knobs["lost_after"]["insert"] > 0
    provider.end()


def test_a_configuration_that_makes_no_sense_is_told_in_one_line(folder, tmp_path):
    (tmp_path / "config.json").write_text('{"qota": 5}')
    command = [sys.executable, "-m", "cynthus.provisioner.hostile", "--folder", str(folder), "--port", "0"]
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "config.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "qota" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_line_that_was_cut_off_was_never_said(tmp_path):
    file = tmp_path / "provider.jsonl"
    ledger = Ledger(file, lambda: 1.0)
    ledger.append("created", machine="cyn-a", zone="zone-a", reason=None)
    ledger.close()
    with file.open("ab") as torn:
        torn.write(b'{"t": 2.0, "what": "del')
    again = Ledger(file, lambda: 3.0)
    again.append("deleted", machine="cyn-a", zone="zone-a")
    assert list(again.lines()) == [
        {"t": 1.0, "what": "created", "machine": "cyn-a", "zone": "zone-a"},
        {"t": 3.0, "what": "deleted", "machine": "cyn-a", "zone": "zone-a"},
    ]
    again.close()
