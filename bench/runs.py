"""From submit to the user's process, and whole runs a second: beside Ray Jobs and a bare subprocess."""

import subprocess
import threading
import time

from bench import floor, homes
from bench.measure import Aim, Table, alternate, divide, median, number, percentile, ratio, spread
from bench.peers import PYTHON

ROUNDS = 11
AT_ONCE = 8
OURS = 96
THEIRS = 16
TIMEOUT_S = 60.0
SCRIPT = "import time\nnow = time.time_ns()\nimport sys\nopen(sys.argv[1], 'w').write(str(now))\n"
CYNTHUS = "cynthus"
PEER = "Ray Jobs"
LEAST = "floor: subprocess"
FLOOR = "floor: FastAPI, one commit, LISTEN, subprocess"


def run():
    with homes.folder() as folder, homes.cynthus() as ours, homes.ray() as theirs, floor.serve() as least:
        script = folder / "main.py"
        script.write_text(SCRIPT)
        kinds = {CYNTHUS: _Cynthus(ours)}
        if theirs is not None:
            kinds[PEER] = _Ray(theirs, script)
        kinds[FLOOR] = _Floor(least, script)
        kinds[LEAST] = _Subprocess(script)
        return [_latency(kinds, folder), _rates(kinds, folder)]


class _Cynthus:
    def __init__(self, home):
        self.home, self.digest, self.connect = home, home.upload(SCRIPT), home.client

    def submit(self, client, path):
        return self.home.submit(client, self.digest, str(path))

    def succeeded(self, client, run):
        return self.home.finish(client, run)["state"] == "SUCCEEDED"


class _Ray:
    def __init__(self, home, script):
        self.home, self.script, self.connect = home, script, home.client

    def submit(self, client, path):
        return self.home.submit(client, f"{PYTHON} {self.script} {path}")

    def succeeded(self, client, job):
        deadline = time.monotonic() + TIMEOUT_S
        while (state := self.home.state(client, job)) in {
            "PENDING",
            "RUNNING",
        } and time.monotonic() < deadline:
            time.sleep(0.05)
        return state == "SUCCEEDED"


class _Floor:
    def __init__(self, home, script):
        self.home, self.script, self.connect = home, script, home.client

    def submit(self, client, path):
        return self.home.submit(client, [PYTHON, str(self.script), str(path)])

    def succeeded(self, client, run):
        return client.json("GET", f"/runs/{run}")["code"] == 0


class _Subprocess:
    def __init__(self, script):
        self.script = script

    def connect(self):
        return homes.Client("http://127.0.0.1:1")

    def submit(self, client, path):
        return subprocess.Popen([PYTHON, self.script, path])

    def succeeded(self, client, process):
        return process.wait(TIMEOUT_S) == 0


def _latency(kinds, folder):
    clients = {name: kind.connect() for name, kind in kinds.items()}
    accepted = {name: [] for name in kinds}
    paths = (folder / f"latency-{number}" for number in range(100_000))

    def timed(name, kind):
        def candidate():
            path, start = next(paths), time.time_ns()
            run = kind.submit(clients[name], path)
            accepted[name].append((time.time_ns() - start) / 1e6)
            if not kind.succeeded(clients[name], run):
                raise RuntimeError(f"{name}: {run} did not succeed")
            return (int(path.read_text()) - start) / 1e6

        return candidate

    samples = alternate({name: timed(name, kind) for name, kind in kinds.items()}, ROUNDS, warmups=2)
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
    title = f"Runs: end to end, {AT_ONCE} at once"
    table = Table(title, ["", "runs", "succeeded/s", "p50 s each", "cynthus does"])
    rates = {}
    for name, kind in kinds.items():
        total = THEIRS if name == PEER else OURS
        _flood(kind, folder / f"{kind.__class__.__name__}-warm", THEIRS // 2 if name == PEER else AT_ONCE * 2)
        durations, seconds = _flood(kind, folder / f"{kind.__class__.__name__}-run", total)
        rates[name] = len(durations) / seconds
        table.raw[name] = durations
        if len(durations) < total:
            table.notes.append(
                f"{name}: {total - len(durations)} of {total} did not succeed and do not count"
            )
    for name, durations in table.raw.items():
        row = [name, len(durations), number(rates[name]), number(median(durations))]
        table.rows.append([*row, ratio(divide(rates[CYNTHUS], rates[name]))])
    table.aims = [Aim("runs a second beside Ray Jobs", divide(rates[CYNTHUS], rates.get(PEER)), at_least=60)]
    return table


def _flood(kind, prefix, total):
    """(seconds of each run that succeeded, seconds of the wall); each client submits, waits, and goes on."""
    numbers, durations, failures, lock = iter(range(total)), [], [], threading.Lock()

    def loop():
        try:
            with kind.connect() as client:
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    start, path = time.perf_counter(), f"{prefix}-{number}"
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
    return durations, time.perf_counter() - start
