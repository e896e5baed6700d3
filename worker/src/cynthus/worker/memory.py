"""The limits of the user's processes, and the kernel's own count of what it killed for lack of memory."""

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from cynthus.worker.kernel_log import KernelLog

PREFIX = "cynthus"
_NEW_S = 60.0


class Kills(NamedTuple):
    """How many processes were killed for lack of memory, what says so, and whether they were surely ours."""

    number: int = 0
    evidence: tuple[str, ...] = ()
    ours: bool = True


class Places(NamedTuple):
    """Where the kernel shows itself."""

    cgroups: str = "/sys/fs/cgroup"
    proc: str = "/proc"
    log: str = "/dev/kmsg"


class Limits:
    """Of memory and processes: cgroups (v1 or v2) where they can be made; else each process gets a limit."""

    def __init__(
        self,
        name: str,
        memory_bytes: int | None,
        processes: int | None = None,
        places: Places | None = None,
    ) -> None:
        places = places or Places()
        self.memory_bytes = memory_bytes
        self._name = name
        self._vmstat = f"{places.proc}/vmstat"
        own = _controllers(f"{places.proc}/self/cgroup")
        if "memory" in own or "pids" in own:
            made = _first_version(places.cgroups, own, name, memory_bytes, processes)
        else:
            made = _second_version(places.cgroups + own.get("", ""), name, memory_bytes, processes)
        self._memory, self.cgroups = made
        self._log = KernelLog(places.log)
        self._before = _count(self._vmstat) or 0

    @property
    def each_process_bytes(self) -> int | None:
        """A limit for each process, where there is none for all together."""
        return None if self._memory else self.memory_bytes

    def kills(self, pids: Iterable[int] = ()) -> Kills:
        """What the kernel has killed meanwhile; read it before `remove`."""
        said = self._log.killed(pids, self._name)
        file, count = self._own_count()
        if count:
            limit = f" (limit {self.memory_bytes} bytes)" if self.memory_bytes else ""
            return Kills(count, (f"{file}: oom_kill 0 -> {count}{limit}", *said))
        if said:
            return Kills(len(said), said)
        after = _count(self._vmstat) or 0
        # A group counts all that were killed in it, whoever was short of memory: what it lacks was elsewhere.
        if count is not None or after <= self._before:
            return Kills()
        return Kills(after - self._before, (f"vmstat: oom_kill {self._before} -> {after}",), ours=False)

    def _own_count(self) -> tuple[str, int | None]:
        """The file that counts kills in the group, and its count; None where nothing counts them."""
        for file in ("memory.oom_control", "memory.events") if self._memory else ():
            if (count := _count(f"{self._memory}/{file}")) is not None:
                return file, count
        return "", None

    def remove(self) -> None:
        """Remove the cgroups."""
        self._log.close()
        for folder in self.cgroups:
            with suppress(OSError):
                os.rmdir(folder)
        self._memory, self.cgroups = None, []


def remove_left(places: Places | None = None) -> None:
    """Groups whose worker was killed: the last part of a name is its process id. What is in use stays."""
    places = places or Places()
    own = _controllers(f"{places.proc}/self/cgroup")
    parents = {f"{places.cgroups}/{kind}{own[kind]}" for kind in ("memory", "pids") if kind in own}
    for parent in parents or {places.cgroups + own.get("", "")}:
        with suppress(OSError):
            for name in os.listdir(parent):
                worker = name.rpartition("-")[2]
                if name.startswith(f"{PREFIX}-") and not os.path.exists(f"{places.proc}/{worker}"):
                    _remove_old(f"{parent}/{name}")


def _remove_old(folder: str) -> None:
    """Not a new one: its worker may be in another namespace of processes."""
    with suppress(OSError):
        if time.time() - os.stat(folder).st_ctime > _NEW_S:
            os.rmdir(folder)


def _first_version(
    root: str, own: Mapping[str, str], name: str, memory_bytes: int | None, processes: int | None
) -> tuple[str | None, list[str]]:
    """A folder in the hierarchy of each controller."""
    memory = _made(f"{root}/memory{own.get('memory', '')}/{name}", {"memory.limit_in_bytes": memory_bytes})
    pids = _made(f"{root}/pids{own['pids']}/{name}", {"pids.max": processes}) if "pids" in own else None
    return memory, [folder for folder in (memory, pids) if folder]


def _second_version(
    parent: str, name: str, memory_bytes: int | None, processes: int | None
) -> tuple[str | None, list[str]]:
    """One folder, with what the parent passes on."""
    limits = {"memory.max": memory_bytes, "memory.swap.max": 0 if memory_bytes else None}
    for wanted in (limits | {"pids.max": processes}, limits, {"pids.max": processes}):
        folder = _made(f"{parent}/{name}", wanted)
        if folder:
            return (folder if os.path.exists(f"{folder}/memory.events") else None), [folder]
    return None, []


def _made(folder: str, limits: Mapping[str, int | None]) -> str | None:
    """None unless all limits could be set; without any there is nothing to make."""
    wanted = {file: value for file, value in limits.items() if value is not None}
    if not wanted:
        return None
    try:
        os.mkdir(folder)
    except OSError:
        return None
    try:
        for file, value in wanted.items():
            if file == "memory.swap.max" and not os.path.exists(f"{folder}/{file}"):
                continue
            descriptor = os.open(f"{folder}/{file}", os.O_WRONLY)
            try:
                os.write(descriptor, str(value).encode())
            finally:
                os.close(descriptor)
    except OSError:
        with suppress(OSError):
            os.rmdir(folder)
        return None
    return folder


def _controllers(path: str) -> dict[str, str]:
    found = {}
    with suppress(OSError), open(path, encoding="utf-8") as file:
        for line in file:
            _, names, own = line.rstrip("\n").split(":", 2)
            for name in names.split(","):
                found[name] = own if own != "/" else ""
    return found


def _count(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            counts = dict(line.split() for line in file if len(line.split()) == 2)  # noqa: PLR2004 - name, value
    except OSError:
        return None
    return int(counts["oom_kill"]) if "oom_kill" in counts else None
