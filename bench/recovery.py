"""Recovery: how soon a dead worker, machine or service is noticed and its work goes on.

Default settings: leases of 60 s, a beat a second. All clocks are this machine's: a kill's time is taken
before the signal, the loss's from the run's history, the next attempt's by its program.
`python -m bench recovery [workers] [services] [loss] [quick]`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from datetime import datetime

from bench import homes, outages
from bench.bell import PROGRAM, Bell
from bench.lossy import LossyProxy
from bench.measure import Aim, Table, median, number, percentile
from tests.chaos.processes import descendants, workers

NODE_GRACE_S = 50
DETECT_S = NODE_GRACE_S / 4
LOSS, LOSSY_S, LOSSY_RUNS = 0.2, 75, 24
PARTS = {"workers", "services", "loss"}
AGENT, MACHINE = "kill -9 of the worker agent", "kill -9 of the machine: worker, supervisor, program"
VANISHED, MUTE = "a cloud's machine vanishes", "kill -9 of the agent, a cloud's machine stays"


def run():
    asked = PARTS & set(sys.argv) or PARTS
    quick = "quick" in sys.argv
    tables = []
    with Bell() as bell:
        if "workers" in asked:
            tables.append(_workers(bell, 3 if quick else 25))
        if "services" in asked:
            tables += outages.tables(bell, 2 if quick else 20)
        if "loss" in asked:
            tables.append(_loss(bell, 10 if quick else LOSSY_S))
    return tables


def _workers(bell, rounds):
    table = Table("Recovery: from the kill of a worker or machine (s)", COLUMNS)
    with homes.cynthus() as home:
        _row(table, AGENT, _one_by_one(home, bell, rounds, _agent(home.folder)))
        _row(table, MACHINE, _one_by_one(home, bell, rounds, _whole(home.folder)))
    with _cloud() as (home, provider):
        _row(table, VANISHED, _one_by_one(home, bell, rounds, provider.vanish))
        mute = [
            one
            for _ in range(1 if rounds < 20 else 4)
            for one in _together(home, bell, 6, _agent(provider.folder))
        ]
        _row(table, MUTE, mute)
    table.aims = [_detected(table, name) for name in (AGENT, MACHINE, VANISHED, MUTE)]
    table.notes.append("p99 of so few rounds is the longest of them")
    return table


COLUMNS = ["", "rounds", "noticed: median", "p99", "next attempt's program runs: median", "p99"]


def _row(table, name, found):
    lost, again = [one["lost"] for one in found], [one["again"] for one in found]
    table.rows.append([name, len(found), *map(number, (*_two(lost), *_two(again)))])
    table.raw[name] = found


def _two(samples):
    return median(samples), percentile(samples, 99)


def _detected(table, name):
    worst = percentile([one["lost"] for one in table.raw[name]], 99)
    return Aim(f"noticed, p99, {name}, s", worst, at_most=DETECT_S, is_ratio=False)


def _one_by_one(home, bell, rounds, aim):
    """A new run each time, so that its first repetition is what is measured."""
    with home.client() as client:
        digest = home.upload(PROGRAM)
        return [_once(home, client, bell, digest, aim) for _ in range(rounds)]


def _once(home, client, bell, digest, aim):
    run = _running(home, client, bell, digest)
    time.sleep(random.uniform(0.5, 1.5))  # no phase of whoever looks every second
    killed = aim(_machine(client, run))
    bell.wait(run, 2)
    found = _measured(client, bell, run, killed)
    _end(home, client, bell, run)
    return found


def _together(home, bell, count, aim):
    """Several at once, for what takes a lease."""
    with home.client() as client:
        digest = home.upload(PROGRAM)
        runs = [_running(home, client, bell, digest) for _ in range(count)]
        killed = {run: aim(_machine(client, run)) for run in runs}
        for run in runs:
            bell.wait(run, 2)
        found = [_measured(client, bell, run, killed[run]) for run in runs]
        for run in runs:
            _end(home, client, bell, run)
    return found


def _running(home, client, bell, digest):
    run = home.submit(client, digest, env=bell.environment)
    bell.wait(run, 1)
    while client.json("GET", f"/v1/runs/{run}")["state"] != "RUNNING":
        time.sleep(0.02)
    return run


def _machine(client, run):
    return client.json("GET", f"/v1/runs/{run}")["attempts"][-1]["machine"]


def _end(home, client, bell, run):
    bell.let_go(run)
    ended = home.finish(client, run)
    if ended["state"] != "SUCCEEDED":
        raise RuntimeError(f"{run}: {ended['state']} {ended['cause']}")


def _measured(client, bell, run, killed):
    """Seconds after the kill; `suspected` only where silence was noticed first."""
    found = {"lost": losses(client, run)[0] - killed, "again": bell.wait(run, 2) - killed}
    suspected = [at for at in times(client, run, "attempt.suspected") if at >= killed]
    return found | ({"suspected": suspected[0] - killed} if suspected else {})


def losses(client, run):
    """When attempts of the run were lost, or reported as lost by their worker's successor."""
    return sorted(
        [*times(client, run, "attempt.lost"), *times(client, run, "attempt.exited", "worker_failed")]
    )


def times(client, run, kind, cause=None):
    """When such facts were decided, by the wall clock."""
    page = client.json("GET", f"/v1/runs/{run}/events")
    return [
        datetime.fromisoformat(event["time"]).timestamp()
        for event in page["events"]
        if event["kind"] == kind and cause in {None, (event.get("data", {}).get("cause") or {}).get("code")}
    ]


def _agent(folder):
    """Kills the worker of a machine below the folder, and tells when."""

    def kill(machine):
        (agent,) = [one.pid for one in workers(folder) if one.machine == machine and one.is_agent]
        return _kill([agent])

    return kill


def _whole(folder):
    """The same with all that it started."""

    def kill(machine):
        every = [one.pid for one in workers(folder) if one.machine == machine]
        return _kill(dict.fromkeys(every + [below for pid in every for below in descendants(pid)]))

    return kill


def _kill(pids):
    begun = time.time()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return begun


class _Provider:
    """The hostile provider while it is calm: a cloud whose listing is the truth."""

    def __init__(self, folder):
        self.folder = folder
        config = folder / "provider.json"
        config.write_text(json.dumps({"preset": "calm"}))
        command = [sys.executable, "-m", "cynthus.provisioner.hostile", "--folder", str(folder / "provider")]
        self._process = subprocess.Popen(
            [*command, "--port", "0", "--config", str(config)], stdout=subprocess.PIPE, text=True
        )
        self.url = self._process.stdout.readline().strip()

    def vanish(self, machine):
        begun = time.time()
        self._post(f"/machines/{machine}:vanish")
        return begun

    def end(self):
        self._post("/:clear")
        self._process.terminate()
        self._process.wait(10)
        self._process.stdout.close()

    def _post(self, path):
        request = urllib.request.Request(self.url + path, b"{}", method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@contextmanager
def _cloud():
    """A platform whose machines come from a provider."""
    with homes.folder() as folder:
        provider = _Provider(folder)
        settings = {
            "CYNTHUS_PROVISIONER_MACHINES": "hostile",
            "CYNTHUS_PROVISIONER_HOSTILE_URL": provider.url,
        }
        try:
            with homes.cynthus(**settings) as home:
                yield home, provider
        finally:
            provider.end()


def _loss(bell, seconds):
    """Workers behind a network that loses calls: none is given up, and the dead are found as soon."""
    with LossyProxy(LOSS) as network, homes.cynthus(**_behind(network.url)) as home, home.client() as client:
        network.lead_to(int(home.url.rpartition(":")[2]))
        digest = home.upload(PROGRAM)
        runs = [_running(home, client, bell, digest) for _ in range(LOSSY_RUNS)]
        network.on, begun = True, network.calls
        time.sleep(seconds)
        calls, before, after = network.calls - begun, network.lost_before, network.lost_after
        false = sum(len(losses(client, run)) for run in runs)
        stopped = sum((run, 1) in bell.left for run in runs)
        suspected = sum(len(times(client, run, "attempt.suspected")) for run in runs)
        alive = [run for run in runs if (run, 1) not in bell.left]
        killed = {}
        for run in alive:
            killed[run] = _agent(home.folder)(_machine(client, run))
            time.sleep(random.uniform(0.5, 1.5))
        for run in alive:
            bell.wait(run, 2)
        network.on = False
        found = [_measured(client, bell, run, killed[run]) for run in alive]
        late = sum(len(losses(client, run)) - 1 for run in alive)
        for run in runs:
            _end(home, client, bell, run)
    table = Table(f"Recovery: {LOSS:.0%} of all calls of workers are lost (s)", COLUMNS)
    _row(table, AGENT, found)
    table.aims = [
        _detected(table, AGENT),
        Aim("attempts lost that nobody killed", false, at_most=0, is_ratio=False),
        Aim("programs stopped that nobody killed", stopped, at_most=0, is_ratio=False),
    ]
    table.notes.append(
        f"{LOSSY_RUNS} attempts for {seconds} s before the first was killed: of {calls} calls {before} never "
        f"arrived, {after} answers were never heard; the provider was asked about {suspected} silences"
    )
    table.notes.append(f"of the attempts that came after, {late} were lost before their programs ran")
    table.notes.append("nothing is reset: whoever called waits for its own time-out")
    return table


def _behind(url):
    return {
        "CYNTHUS_PROVISIONER_SLOTS": str(LOSSY_RUNS + 6),
        "CYNTHUS_PROVISIONER_URL": f"{url}/services/provisioner",
        "CYNTHUS_PROVISIONER_ORDERS_URL": f"{url}/services/orchestrator",
        "CYNTHUS_PROVISIONER_REGISTRY_URL": url,
        "CYNTHUS_ORCHESTRATOR_PUBLIC_URL": f"{url}/services/orchestrator",
        "CYNTHUS_ORCHESTRATOR_BLOBS_URL": f"{url}/v1",
        "CYNTHUS_ORCHESTRATOR_REGISTRY_URL": url,
    }
