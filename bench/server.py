"""Starting the platform, and what it costs when nothing happens: beside `dstack server`."""

import time
from contextlib import ExitStack

import psutil

from bench import homes, processes
from bench.measure import Aim, Table, divide, median, number, ratio, spread
from bench.peers import peer

ROUNDS = 3
IDLE_S = 20.0
SETTLE_S = 5.0


def run():
    kinds = {"cynthus up": homes.Cynthus}
    if peer("dstack") is not None:
        kinds["dstack server"] = homes.Dstack
    first, again = {name: [] for name in kinds}, {name: [] for name in kinds}
    with ExitStack() as stack:
        last = {}
        for turn in range(ROUNDS):
            for name, kind in kinds.items():
                home = kind(stack.enter_context(homes.folder()))
                first[name].append(_up(home))
                stack.callback(home.down)
                home.down()
                again[name].append(_up(home))
                last[name] = home
                if turn < ROUNDS - 1:
                    home.down()
        return [
            _starts(first, "first start (fresh folder)", 1 / 4),
            _starts(again, "restart", 1 / 3),
            _idle(last),
        ]


def _up(home) -> float:
    start = time.perf_counter()
    home.up()
    return time.perf_counter() - start


def _starts(samples, title, aim):
    own, peer_s = median(samples["cynthus up"]), median(samples.get("dstack server", []))
    table = Table(f"Server: {title}", ["", "seconds (least-most)", "cynthus takes"])
    table.rows = [
        [name, spread(values), ratio(divide(own, median(values)))] for name, values in samples.items()
    ]
    table.aims = [Aim(f"{title} beside dstack server", divide(own, peer_s), at_most=aim)]
    table.raw = samples
    return table


def _idle(running):
    ours = running["cynthus up"]
    digest = ours.upload("print('ok')\n")
    with ours.client() as client:
        ours.finish(client, ours.submit(client, digest))
    time.sleep(SETTLE_S)
    groups = {}
    for name, home in running.items():
        found = processes.members(home.mark)
        groups |= _parts(found) if home is ours else {name: found}
    before = {name: processes.cpu_seconds(found) for name, found in groups.items()}
    time.sleep(IDLE_S)
    table = Table("Server: idle, after one run", ["", "processes", "PSS MiB", f"CPU % over {IDLE_S:.0f} s"])
    for name, found in groups.items():
        busy = (processes.cpu_seconds(found) - before[name]) / IDLE_S * 100
        table.rows.append([name, len(found), number(processes.pss_mib(found)), f"{busy:.2f}"])
    table.raw = {name: [process.pid for process in found] for name, found in groups.items()}
    return table


def _parts(found):
    """Our tree: the platform's process, PostgreSQL, the warm worker; and all together."""
    parts = {"platform": [], "PostgreSQL": [], "worker": []}
    for process in found:
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        part = (
            "worker"
            if "cynthus.worker" in line
            else "platform"
            if "cynthus.embedded" in line
            else "PostgreSQL"
        )
        parts[part].append(process)
    return {**{f"cynthus: {name}": group for name, group in parts.items()}, "cynthus: all": found}
