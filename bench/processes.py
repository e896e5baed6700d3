"""Programs and process trees: how long, how large, how busy, and gone at the end."""

import json
import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from bench.peers import plain_python

MARK = "CYNTHUS_BENCH_OF"


class Launcher:
    """Runs programs to their end. Use as a context manager."""

    def __enter__(self):
        self._errors = tempfile.NamedTemporaryFile(prefix="bench-stderr-")
        script = Path(__file__).with_name("launcher.py")
        self._process = subprocess.Popen(
            [plain_python(), "-I", "-S", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        self._errors.close()

    def time(self, command, environment=None, folder="/"):
        """(seconds, peak MiB) of a program that succeeds."""
        given = {**os.environ, **(environment or {}), "BENCH_STDERR": self._errors.name}
        print(
            json.dumps([[str(part) for part in command], given, str(folder)]),
            file=self._process.stdin,
            flush=True,
        )
        seconds, peak, code = json.loads(self._process.stdout.readline())
        if code != 0:
            said = Path(self._errors.name).read_text(errors="replace")[-800:]
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {code}: {said}")
        return seconds, peak


def members(mark: str) -> list[psutil.Process]:
    """What carries the mark in its environment, command line or working folder, and all it started."""
    marked = [process for process in psutil.process_iter() if _carries(process, mark)]
    found = {process.pid: process for process in marked}
    for process in marked:
        with suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True)}
    return list(found.values())


def _carries(process: psutil.Process, mark: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        if process.environ().get(MARK) == mark or process.cwd().startswith(mark):
            return True
        return any(mark in argument for argument in process.cmdline())
    except (psutil.Error, OSError):
        return False


def end(mark: str, patience_s: float = 10) -> None:
    """Stop what carries the mark, each by its id; a Ray process hides its mark, but not its parent."""
    found = members(mark)
    for process in found:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(found, timeout=patience_s)
    for process in left:
        with suppress(psutil.Error):
            process.kill()


def pss_mib(processes: list[psutil.Process]) -> float:
    """Proportional set size: shared pages count once, split among those who share them."""
    total = 0
    for process in processes:
        with suppress(OSError):
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def cpu_seconds(processes: list[psutil.Process], *, children: bool = False) -> float:
    """What they used so far; `children`: with that of their children that ended."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            total += times.children_user + times.children_system if children else 0
    return total
