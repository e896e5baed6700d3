"""Machines as trees of processes on this host. They outlive the provider and are found again."""

import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cynthus.provisioner.hostile import first_process, process_table
from cynthus.provisioner.hostile.process_table import Process
from cynthus.provisioner.hostile.world import Place

_FIRST = str(Path(first_process.__file__).resolve())
_WORKER = "CYNTHUS_WORKER_"
_SETTINGS = (
    "SANDBOX",
    "PROCESSES",
    "MEMORY_BYTES",
    "CACHE_BYTES",
    "BACKLOG_BYTES",
    "KEEP_RUNS",
    "GIVE_UP_S",
    "LEAVE_S",
)
"""What the operator may say to workers through the provider's own environment."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a machine runs, in which folder, and which variables it gets."""

    command: Sequence[str]
    home: Path
    environment: Mapping[str, str]


class _First(NamedTuple):
    pid: int
    started: int


class Hosts:
    """Starts, finds and ends the processes of machines. Calls take milliseconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._children: set[int] = set()
        self._firsts: dict[Place, dict[int, _First]] = {}
        self._seen: dict[int, Process] | None = None
        self._adopt()

    @property
    def shared_home(self) -> Path:
        """One folder for the workers of all machines."""
        return self._folder / "home"

    def look_again(self) -> None:
        """What was seen of the process table is old; those that ended are reaped."""
        self._seen = None
        for pid in list(self._children):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._children.discard(pid)

    def home(self, place: Place) -> Path:
        """The disk of one machine: it goes when the machine goes."""
        return self._folder / "machines" / f"{place.zone}.{place.name}"

    def start(self, place: Place, boot: int, start: Start) -> None:
        """Boot a machine for the `boot`-th time, unless that has happened. Raises OSError."""
        if boot in self._firsts.get(place, {}):
            return
        start.home.mkdir(parents=True, exist_ok=True)
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        marked = [str(self._folder), place.zone, place.name, str(boot), str(start.home), "--"]
        output = (1, str(logs / f"{place.name}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-IS", _FIRST, *marked, *start.command],
            {**_inherited(), **start.environment},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, *output),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._children.add(pid)
        self.look_again()
        process = self._table().get(pid)
        self._firsts.setdefault(place, {})[boot] = _First(pid, process.started if process else -1)

    def worker(self, place: Place, boot: int) -> int | None:
        """The process that this boot started; None while it is being started."""
        first = self._firsts.get(place, {}).get(boot)
        if first is None:
            return None
        table = self._table()
        if not _lives(table, first):
            return first.pid
        children = [(process.started, pid) for pid, process in table.items() if process.parent == first.pid]
        return min(children)[1] if children else None

    def terminate(self, place: Place) -> None:
        """Ask the workers to end."""
        self._signal((first.pid for first in self._living(place)), signal.SIGTERM)

    def kill(self, place: Place) -> bool:
        """Kill everything that is left. True: nothing is. It has to be called until then."""
        firsts = [first.pid for first in self._living(place)]
        if not firsts:
            self._firsts.pop(place, None)
            return True
        everything = process_table.below(self._table(), firsts)
        # A machine ends at once: none of it lives to see, and to report, how another part was killed.
        self._signal(everything, signal.SIGSTOP)
        # A first process adopts orphans, so it goes last: nothing can slip out from under it.
        self._signal(everything or firsts, signal.SIGKILL)
        return False

    def lives(self, place: Place) -> bool:
        """Whether anything of it is left."""
        return bool(self._living(place))

    def clean(self, place: Place) -> None:
        """Remove its disk."""
        shutil.rmtree(self.home(place), ignore_errors=True)

    def _living(self, place: Place) -> list[_First]:
        return [first for first in self._firsts.get(place, {}).values() if _lives(self._table(), first)]

    def _table(self) -> dict[int, Process]:
        if self._seen is None:
            self._seen = process_table.living()
        return self._seen

    def _signal(self, pids: Iterable[int], number: signal.Signals) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _adopt(self) -> None:
        for pid, process in process_table.living().items():
            arguments = process_table.arguments(pid)
            if arguments[2:4] == [_FIRST, str(self._folder)] and arguments[8:9] == ["--"]:
                place = Place(arguments[4], arguments[5])
                self._firsts.setdefault(place, {})[int(arguments[6])] = _First(pid, process.started)


def _lives(table: dict[int, Process], first: _First) -> bool:
    process = table.get(first.pid)
    return process is not None and first.started in {-1, process.started}


def _inherited() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CYNTHUS_") or name.removeprefix(_WORKER) in _SETTINGS
    }
