"""How soon the end of a program is known: from its last instruction to the platform hearing of it.

A real worker against a platform for tests, that takes every call at once. The program's last act is to write
down the time; all clocks are this machine's. `python -m bench exits`.
"""

import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Aim, Table, median, number
from tests.fixtures.platform_for_workers import MACHINE_TOKEN, PlatformForWorkers

ROUNDS = 25
LIMIT_MS = 100
_STAMP = "import os, struct, time\nstamp = os.open('outputs/stamp', os.O_WRONLY | os.O_CREAT)\n"
_NOW = "os.write(stamp, struct.pack('d', time.monotonic()))\n"
ENDS = {
    "exit code 0": _STAMP + _NOW + "os._exit(0)\n",
    "exit code 1": _STAMP + _NOW + "os._exit(1)\n",
    "a signal": _STAMP + _NOW + "os.kill(os.getpid(), 9)\n",
    "exit code 1, a checkpoint to save": _STAMP
    + "open(os.environ['CYNTHUS_CHECKPOINT_DIR'] + '/state', 'w').write('x' * 1000)\n"
    + _NOW
    + "os._exit(1)\n",
    "exit code 0 after 10 MB of log": _STAMP + "os.write(1, b'x' * 10_000_000)\n" + _NOW + "os._exit(0)\n",
}


def run():
    table = Table(
        "Exits: a program's end to the platform's knowing it (ms)", ["end", "median", "p95", "most"]
    )
    with tempfile.TemporaryDirectory(prefix="bench-exits-") as folder:
        platform = PlatformForWorkers()
        worker = _worker(platform, folder)
        try:
            platform.give("print('warm')").result  # noqa: B018 - waits for the end
            for name, script in ENDS.items():
                samples = sorted(_once(platform, script) for _ in range(ROUNDS))
                p95 = samples[int(len(samples) * 0.95)]
                table.rows.append([name, number(median(samples)), number(p95), number(samples[-1])])
                table.raw[name] = samples
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(20)
            platform.close()
    worst = max(median(samples) for samples in table.raw.values())
    table.aims.append(Aim("median of the slowest end, in ms", worst, at_most=LIMIT_MS, is_ratio=False))
    table.notes.append("the end is reported whole: log complete, outputs committed, checkpoint saved")
    return [table]


def _once(platform, script):
    given = platform.give(script, next_beat_s=5.0)
    stamp = platform.outputs(given)["stamp"]
    heard = given.finished_at if not given.exited else min(given.finished_at, given.exited_at)
    return (heard - struct.unpack("d", stamp)[0]) * 1000


def _worker(platform, folder):
    environment = {
        **os.environ,
        "CYNTHUS_WORKER_URL": platform.url,
        "CYNTHUS_WORKER_TOKEN": MACHINE_TOKEN,
        "CYNTHUS_WORKER_SANDBOX": "off",
    }
    command = [sys.executable, "-m", "cynthus.worker", "--machine", "bench", "--home", folder]
    with Path(folder, "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    while not platform.greeted.wait(0.1):
        assert worker.poll() is None
    time.sleep(0.5)
    return worker
