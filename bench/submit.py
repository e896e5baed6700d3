"""Accepting runs, durably: beside dstack and beside one commit behind FastAPI.

Neither dstack (no backend) nor our first candidate (no machines) starts what it accepts; our second one runs
everything it accepts meanwhile.
"""

import threading
import time

from bench import floor, homes
from bench.measure import Aim, Table, alternate, divide, median, number, percentile, ratio

ROUNDS = 40
SETTLE_S = 0.25
CLIENTS = 8
SECONDS = 5.0
MOST = 1000
"""Runs at most, that a backlog cannot outlast the benchmark."""
SCRIPT = "print('ok')\n"
IDLE = "cynthus, accepting only"
BUSY = "cynthus, running them too"
PEER = "dstack, accepting only"
FLOOR = "floor: FastAPI, one commit"
NO_MACHINES = {"CYNTHUS_PROVISIONER_SLOTS": "0", "CYNTHUS_PROVISIONER_WARM": "0"}


def run():
    with (
        homes.cynthus(**NO_MACHINES) as idle,
        homes.cynthus() as busy,
        homes.dstack() as theirs,
        floor.serve() as least,
    ):
        candidates = {IDLE: _ours(idle), BUSY: _ours(busy)}
        if theirs is not None:
            candidates[PEER] = (
                theirs.client,
                theirs.submit,
                lambda client: {run["id"] for run in theirs.runs(client)},
            )
        candidates[FLOOR] = (least.client, least.submit, least.runs)
        return [_one_client(candidates), _many_clients(candidates)]


def _ours(home):
    digest = home.upload(SCRIPT)
    return (
        home.client,
        lambda client: home.submit(client, digest),
        lambda client: {run["id"] for run in home.runs(client)},
    )


def _one_client(candidates):
    accepted = {name: set() for name in candidates}
    clients = {name: connect() for name, (connect, _, _) in candidates.items()}

    def timed(name, submit):
        def candidate():
            start = time.perf_counter()
            accepted[name].add(submit(clients[name]))
            return (time.perf_counter() - start) * 1000

        return candidate

    submits = {name: timed(name, submit) for name, (_, submit, _) in candidates.items()}
    samples = alternate(submits, ROUNDS, warmups=5, settle_s=SETTLE_S)
    for name, (_, _, listed) in candidates.items():
        _verify(name, accepted[name], listed(clients[name]))
        clients[name].close()
    own = median(samples[IDLE])
    table = Table("Submit: accepted, 1 client", ["", "p50 ms", "p99 ms", "cynthus takes"])
    for name, values in samples.items():
        p50 = median(values)
        table.rows.append([name, number(p50), number(percentile(values, 99)), ratio(divide(own, p50))])
    table.aims = [
        Aim("accepted p50 beside dstack", divide(own, median(samples.get(PEER, []))), at_most=1 / 15)
    ]
    table.raw = samples
    return table


def _many_clients(candidates):
    columns = ["", "accepted/s", "p50 ms", "p99 ms", "cynthus accepts"]
    table = Table(f"Submit: saturated, {CLIENTS} clients", columns)
    rates = {}
    for name, (connect, submit, listed) in candidates.items():
        accepted, latencies, seconds = _saturate(connect, submit)
        with connect() as client:
            _verify(name, accepted, listed(client))
        rates[name] = len(accepted) / seconds
        table.raw[name] = latencies
    for name, latencies in table.raw.items():
        table.rows.append(
            [
                name,
                number(rates[name]),
                number(median(latencies)),
                number(percentile(latencies, 99)),
                ratio(divide(rates[IDLE], rates[name])),
            ]
        )
    table.aims = [
        Aim("throughput beside dstack", divide(rates[IDLE], rates.get(PEER)), at_least=30),
        Aim("throughput beside dstack, running them too", divide(rates[BUSY], rates.get(PEER)), at_least=30),
    ]
    return table


def _saturate(connect, submit):
    """(ids accepted, ms each, seconds of the wall)."""
    accepted, latencies, failures = [], [], []
    stop = time.perf_counter() + SECONDS

    def loop():
        try:
            with connect() as client:
                while (start := time.perf_counter()) < stop and len(accepted) < MOST:
                    accepted.append(submit(client))
                    latencies.append((time.perf_counter() - start) * 1000)
        except Exception as error:  # noqa: BLE001 - told to the caller
            failures.append(error)

    start = time.perf_counter()
    threads = [threading.Thread(target=loop) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return set(accepted), latencies, time.perf_counter() - start


def _verify(name, accepted, listed):
    if missing := accepted - listed:
        raise RuntimeError(f"{name}: {len(missing)} of {len(accepted)} accepted runs are not in the list")
