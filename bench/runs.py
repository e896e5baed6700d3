"""From submit to the user's process, and whole runs a second: beside Ray Jobs and a bare subprocess."""

import resource
import subprocess
import threading
import time

from bench import floor, homes, processes
from bench.measure import Aim, Table, alternate, divide, median, number, percentile, ratio, spread
from bench.peers import plain_python

ROUNDS = 11
SETTLE_S = 0.5
AT_ONCE = 8
OURS = 96
THEIRS = 16
TIMEOUT_S = 60.0
BUDGET_S = 30.0
SCRIPT = """import time
now = time.time_ns()
import os, sys
told = os.environ.get("BENCH_PATH") or sys.argv[1]
if told.startswith("/"):
    open(told, "w").write(str(now))
elif told.startswith("say"):
    print(now)
"""
CYNTHUS = "cynthus"
PLANNED = "cynthus, new arguments each time: planned anew"
BARE = "cynthus, no sandbox"
PEER = "Ray Jobs"
LEAST = "floor: subprocess"
FLOOR = "floor: FastAPI, one commit, LISTEN, subprocess"


def run():
    with (
        homes.folder() as folder,
        homes.cynthus() as ours,
        homes.cynthus(CYNTHUS_WORKER_SANDBOX="off") as bare,
        homes.ray() as theirs,
        floor.serve() as least,
    ):
        script = folder / "main.py"
        script.write_text(SCRIPT)
        kinds = {CYNTHUS: _Cynthus(ours), PLANNED: _Planned(ours), BARE: _Cynthus(bare)}
        if theirs is not None:
            kinds[PEER] = _Ray(theirs, script)
        kinds[FLOOR] = _Floor(least, script)
        kinds[LEAST] = _Subprocess(script)
        return [_latency(kinds, folder), _rates(kinds, folder)]


class _Tree:
    """A candidate that is a process tree."""

    def cpu_seconds(self):
        return processes.cpu_seconds(processes.members(self.home.mark), children=True)

    def began(self, client, run, path):
        """When the user's script began, by its own clock. Asked of the file system, not of the candidate."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if path.exists() and (written := path.read_text()):
                return int(written)
            time.sleep(0.0005)
        raise TimeoutError(f"{path} was not written within {TIMEOUT_S:.0f} s")


class _Cynthus(_Tree):
    """Its programs may write nowhere but in their own folders: the script says when it began."""

    def __init__(self, home):
        self.home, self.digest, self.connect = home, home.upload(SCRIPT), home.client

    def submit(self, client, path):
        return self.home.submit(client, self.digest, env={"BENCH_PATH": path.name})

    def began(self, client, run, path):
        if not self.succeeded(client, run):
            raise RuntimeError(f"{run} did not succeed")
        return int(self.home.text(client, run))

    def succeeded(self, client, run):
        return self.home.finish(client, run)["state"] == "SUCCEEDED"


class _Planned(_Cynthus):
    def submit(self, client, path):
        return self.home.submit(client, self.digest, path.name)


class _Ray(_Tree):
    def __init__(self, home, script):
        self.home, self.script, self.connect = home, script, home.client

    def submit(self, client, path):
        return self.home.submit(client, f"{plain_python()} {self.script} {path}")

    def succeeded(self, client, job):
        deadline = time.monotonic() + TIMEOUT_S
        while (state := self.home.state(client, job)) in {
            "PENDING",
            "RUNNING",
        } and time.monotonic() < deadline:
            time.sleep(0.05)
        return state == "SUCCEEDED"


class _Floor(_Tree):
    def __init__(self, home, script):
        self.home, self.script, self.connect = home, script, home.client

    def submit(self, client, path):
        return self.home.submit(client, [str(plain_python()), str(self.script), str(path)])

    def succeeded(self, client, run):
        return client.json("GET", f"/runs/{run}")["code"] == 0


class _Subprocess(_Tree):
    def __init__(self, script):
        self.script = script

    def connect(self):
        return homes.Client("http://127.0.0.1:1")

    def submit(self, client, path):
        return subprocess.Popen([plain_python(), self.script, path])

    def cpu_seconds(self):
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def succeeded(self, client, process):
        return process.wait(TIMEOUT_S) == 0


def _latency(kinds, folder):
    clients = {name: kind.connect() for name, kind in kinds.items()}
    accepted = {name: [] for name in kinds}
    paths = (folder / f"say-{number}" for number in range(100_000))

    def timed(name, kind):
        def candidate():
            path, start = next(paths), time.time_ns()
            run = kind.submit(clients[name], path)
            accepted[name].append((time.time_ns() - start) / 1e6)
            began = kind.began(clients[name], run, path)
            if not kind.succeeded(clients[name], run):
                raise RuntimeError(f"{name}: {run} did not succeed")
            return (began - start) / 1e6

        return candidate

    samples = alternate(
        {name: timed(name, kind) for name, kind in kinds.items()}, ROUNDS, warmups=2, budget_s=75
    )
    for client in clients.values():
        client.close()
    own = median(samples[CYNTHUS])
    columns = ["", "ms (least-most)", "p90 ms", "of it accepted after ms", "cynthus takes"]
    table = Table("Runs: submit to the user's first line, warm", columns)
    for name, values in samples.items():
        table.rows.append(
            [
                name,
                spread(values),
                number(percentile(values, 90)),
                number(median(accepted[name][-ROUNDS:])),
                ratio(divide(own, median(values))),
            ]
        )
    table.aims = [
        Aim("submit to running beside Ray Jobs", divide(own, median(samples.get(PEER, []))), at_most=1 / 50)
    ]
    table.raw = samples
    return table


def _rates(kinds, folder):
    columns = ["", "runs", "succeeded/s", "p50 s each", "CPU ms a run", "cynthus does"]
    table = Table(f"Runs: end to end, {AT_ONCE} at once", columns)
    rates = {}
    for name, kind in kinds.items():
        total = THEIRS if name == PEER else OURS
        _flood(kind, folder / f"{kind.__class__.__name__}-warm", AT_ONCE * (1 if name == PEER else 3))
        before = kind.cpu_seconds()
        durations, submitted, seconds = _flood(kind, folder / f"{kind.__class__.__name__}-run", total)
        cpu_ms = divide((kind.cpu_seconds() - before) * 1000, len(durations))
        rates[name] = len(durations) / seconds
        table.raw[name] = durations
        table.rows.append(
            [name, len(durations), number(rates[name]), number(median(durations)), number(cpu_ms)]
        )
        if len(durations) < submitted:
            table.notes.append(
                f"{name}: {submitted - len(durations)} of {submitted} did not succeed: not counted"
            )
    for row in table.rows:
        row.append(ratio(divide(rates[CYNTHUS], rates[row[0]])))
    table.aims = [Aim("runs a second beside Ray Jobs", divide(rates[CYNTHUS], rates.get(PEER)), at_least=60)]
    return table


def _flood(kind, prefix, total):
    """Clients that submit, wait, and go on: (seconds of each run that succeeded, submitted, seconds)."""
    numbers, submitted, durations, failures = iter(range(total)), [], [], []
    stop = time.monotonic() + BUDGET_S

    def loop():
        try:
            with kind.connect() as client:
                while time.monotonic() < stop and (number := next(numbers, None)) is not None:
                    submitted.append(number)
                    start, path = time.perf_counter(), prefix.with_name(f"{prefix.name}-{number}")
                    if kind.succeeded(client, kind.submit(client, path)):
                        durations.append(time.perf_counter() - start)
        except Exception as error:  # noqa: BLE001 - told to the caller
            failures.append(error)

    start = time.perf_counter()
    threads = [threading.Thread(target=loop) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return durations, len(submitted), time.perf_counter() - start
