"""Processes of the harness: started so that they die with it, found again by its folder."""

import ctypes
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Running:
    """A process that belongs to the harness."""

    pid: int
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def machine(self) -> str | None:
        """The machine whose worker this is."""
        arguments = self.command
        if "cynthus.worker" not in arguments or "--machine" not in arguments:
            return None
        return arguments[arguments.index("--machine") + 1]

    @property
    def is_agent(self) -> bool:
        """A worker itself, and not the first process of a machine that started one."""
        return self.command[1:3] == ("-m", "cynthus.worker")

    @property
    def run(self) -> str | None:
        """The run whose program this is."""
        return self.environment.get("CYNTHUS_RUN_ID")


def spawn(
    command: Sequence[str | Path], environment: Mapping[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a process that is killed when this one dies. Call it on the main thread."""
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - it makes one system call
        start_new_session=True,
    )


def below(folder: Path, mark: str = "") -> Iterator[Running]:
    """Processes whose command names the folder, and programs whose environment has the mark."""
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace").strip("\0").split("\0")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        named = f"{folder}/" in " ".join(command) and "tests.chaos" not in command
        if named or (mark and f"={mark}\0" in environment):
            pairs = (pair.split("=", 1) for pair in environment.split("\0") if "=" in pair)
            yield Running(int(entry.name), tuple(command), dict(pairs))


def workers(folder: Path) -> list[Running]:
    """Workers whose home is below the folder."""
    return [one for one in below(folder) if one.machine is not None]


def state_of(pid: int) -> str:
    """`R`, `S`, `T`, `Z`... or nothing for one that is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def send(pid: int, number: signal.Signals) -> bool:
    """Signal a process; False when it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and theirs."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def free_ports(count: int) -> list[int]:
    """Ports below those that connections going out take, so that a service gets its own again."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
    return found


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
