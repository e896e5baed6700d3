"""Services that are killed under running attempts, and started again a second later, as Cloud Run would."""

import asyncio
import secrets
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil

from bench import homes, processes
from bench.bell import PROGRAM
from bench.client import Client
from bench.measure import Aim, Table, median, number, percentile
from cynthus.embedded.postgres import EmbeddedPostgres
from tests.e2e.homes import SERVICES, five_processes

AWAY_S = 1.0
HELD = 4
BUDGET_S = 1200.0
"""No more rounds are begun afterwards."""
NONE = "none, for comparison"


def tables(bell, rounds):
    with homes.folder() as folder:
        server = EmbeddedPostgres(folder / "postgres")
        asyncio.run(server.start())
        try:
            with five_processes(folder, server.url) as started, _Supervisor(started) as supervisor:
                return [_measure(_Five(folder, started), supervisor, bell, rounds)]
        finally:
            asyncio.run(server.stop())


def _measure(home, supervisor, bell, rounds):
    """Attempts that run from the first kill to the last must not be troubled."""
    found = {name: [] for name in (NONE, *SERVICES)}
    with home.client() as client:
        digest = home.upload(PROGRAM)
        held = [home.submit(client, digest, env=bell.environment) for _ in range(HELD)]
    for run in held:
        bell.wait(run, 1)
    every = list(held)
    stop = time.monotonic() + BUDGET_S
    for _ in range(rounds):
        if time.monotonic() > stop:
            break
        for name, samples in found.items():
            samples.append(_round(home, supervisor, bell, name, digest))
            every.append(samples[-1]["run"])
    for run in held:
        bell.let_go(run)
    with home.client() as client:
        ends = [home.finish(client, run) for run in every]
    table = _table(found)
    wrong = [one["id"] for one in ends if one["state"] != "SUCCEEDED"]
    lost = sum(len(one["attempts"]) - 1 for one in ends)
    table.raw["not succeeded"] = wrong
    table.aims = [
        Aim("attempts lost, of all", lost, at_most=0, is_ratio=False),
        Aim("accepted runs that did not succeed", len(wrong), at_most=0, is_ratio=False),
    ]
    table.notes.append(
        f"{HELD} attempts ran from the first kill to the last, {len(every) - HELD} were submitted meanwhile"
    )
    return table


def _table(found):
    columns = ["killed", "rounds", "answers again: median", "p99", "of that its processor time",
               "a run submitted then runs: median", "p99"]  # fmt: skip
    table = Table(f"Recovery: from the kill of a service, started again after {AWAY_S:g} s (s)", columns)
    for name, samples in found.items():
        answers = [one["answers"] for one in samples if one["answers"] is not None]
        runs = [one["runs"] for one in samples]
        used = [one["used"] for one in samples if one["used"] is not None]
        cells = (median(answers), percentile(answers, 99), median(used)) if answers else ()
        shown = [number(cell) for cell in cells] or ["", "", ""]
        table.rows.append([name, len(samples), *shown, number(median(runs)), number(percentile(runs, 99))])
        table.raw[name] = samples
    return table


def _round(home, supervisor, bell, name, digest):
    with ThreadPoolExecutor(2) as pool:
        begun = time.time()
        if name != NONE:
            supervisor.kill(name)
        submitted = pool.submit(_submit, home, digest, bell)
        answering = pool.submit(supervisor.answers, name) if name != NONE else None
        run = submitted.result()
        runs = bell.wait(run, 1) - begun
        answers = answering.result() - begun if answering else None
        used = supervisor.used(name) if answering else None
    bell.let_go(run)
    with home.client() as client:
        home.finish(client, run)
    time.sleep(0.5)
    return {"answers": answers, "used": used, "runs": runs, "run": run}


def _submit(home, digest, bell):
    """Again and again with one key, as our own client does."""
    body = {"snapshot": digest, "entry": "main.py", "arguments": [], "env": bell.environment}
    key = f"Idempotency-Key: {secrets.token_hex(8)}\r\n"
    while True:
        try:
            with Client(home.url, home.token, timeout_s=10) as client:
                return client.json("POST", f"/v1/projects/{home.project}/runs", body, key)["id"]
        except (OSError, RuntimeError, IndexError, ValueError):
            time.sleep(0.1)


class _Five(homes.Cynthus):
    """Five processes that run already."""

    def __init__(self, folder, started):
        super().__init__(folder)
        self.url, self.token = started.url, started.token

    def finish(self, client, run):
        """The Run resource once it is over; waits for its last fact too."""
        while (ended := super().finish(client, run))["state"] not in {"SUCCEEDED", "FAILED", "CANCELLED"}:
            time.sleep(0.1)
        return ended


class _Supervisor:
    """Starts a service again, with what it was started with."""

    def __init__(self, started):
        self._started = started
        first = {name: psutil.Process(process.pid) for name, process in started.processes.items()}
        self._commands = {name: (process.cmdline(), process.environ()) for name, process in first.items()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def kill(self, name):
        self._started.processes[name].kill()

    def used(self, name):
        """Processor seconds since it was started again."""
        return processes.cpu_seconds([psutil.Process(self._started.processes[name].pid)])

    def answers(self, name):
        """When it is ready again."""
        port = self._commands[name][1][f"CYNTHUS_{name.upper()}_PORT"]
        time.sleep(AWAY_S / 2)
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return time.time()
            except OSError:
                time.sleep(0.02)

    def _keep(self):
        ended = {}
        while not self._over.wait(0.02):
            for name, process in list(self._started.processes.items()):
                if (
                    process.poll() is not None
                    and time.monotonic() - ended.setdefault(name, time.monotonic()) >= AWAY_S
                ):
                    del ended[name]
                    self._start(name)

    def _start(self, name):
        command, environment = self._commands[name]
        with (self._started.folder / f"{name}.log").open("ab") as log:
            self._started.processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
