"""The host's processes, as /proc tells."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Process(NamedTuple):
    """`started` tells a process from a later one of the same number."""

    parent: int
    started: int


def living() -> dict[int, Process]:
    """All processes that have not ended; one that only waits to be reaped has."""
    found: dict[int, Process] = {}
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            text = (_PROC / entry.name / "stat").read_bytes()
        except OSError:
            continue
        state, *fields = text.rpartition(b")")[2].split()
        if state not in {b"Z", b"X"}:
            found[int(entry.name)] = Process(int(fields[0]), int(fields[18]))
    return found


def below(table: dict[int, Process], roots: Iterable[int]) -> set[int]:
    """Children, their children and so on; not the roots."""
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    todo = list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def arguments(pid: int) -> list[str]:
    """A process's command line; empty when it is gone."""
    try:
        return os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes()).split("\0")[:-1]
    except OSError:
        return []
