"""Ends what a killed harness left: it waits until its input ends, as it does when the harness dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.chaos.disk import MachinesDisk
from tests.chaos.processes import below, send

_ROUNDS = 20


def watch(folder: Path, mark: str) -> "subprocess.Popen[bytes]":
    """Start the undertaker of this process: it begins when this process ends, however that comes."""
    command = [sys.executable, "-m", "tests.chaos.undertaker", str(folder), mark]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def bury(folder: Path, mark: str) -> None:
    """Kill everything that names the folder, until nothing does."""
    for _ in range(_ROUNDS):
        left = [one.pid for one in below(folder, mark)]
        if not left:
            break
        for pid in left:
            send(pid, signal.SIGKILL)
        time.sleep(0.1)
    MachinesDisk(folder).unmount()


if __name__ == "__main__":
    os.read(0, 1)
    bury(Path(sys.argv[1]), sys.argv[2])
