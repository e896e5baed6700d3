"""The processes below a process, as /proc shows them."""

import os
from collections.abc import Mapping
from typing import NamedTuple

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PARENT, _USER, _SYSTEM, _RESIDENT = 1, 11, 12, 21
_CHILDREN_USER, _CHILDREN_SYSTEM = 13, 14


class Usage(NamedTuple):
    """What a tree of processes has used: CPU including ended children, memory at this moment."""

    cpu_seconds: float
    memory_bytes: int


def descendants(root: int) -> dict[int, list[bytes]]:
    """Fields of /proc/<pid>/stat (from the state on) of every process below `root`."""
    stats = _all()
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[_PARENT]), []).append(pid)
    found: dict[int, list[bytes]] = {}
    pending = list(children.get(root, ()))
    while pending:
        pid = pending.pop()
        found[pid] = stats[pid]
        pending += children.get(pid, ())
    return found


def usage(root: int) -> Usage:
    """CPU and memory of everything below `root`."""
    return used(descendants(root))


def used(below: Mapping[int, list[bytes]]) -> Usage:
    """CPU and memory of these, as `descendants` gives them."""
    ticks = pages = 0
    for fields in below.values():
        ticks += sum(int(fields[n]) for n in (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM))
        pages += int(fields[_RESIDENT])
    return Usage(ticks * _TICK_S, pages * _PAGE_BYTES)


def _all() -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    found[int(name)] = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
    return found
