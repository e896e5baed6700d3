"""Everything below a process on this host, and its end."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 50


def kill(root: int) -> None:
    """SIGKILL a worker and all that it started.

    Its keeper takes a dead worker's place, so both stand still until nothing is left below them, and the
    keeper goes first.
    """
    children: list[int] = []
    for _ in range(_ROUNDS):
        below = _below()
        children = below.get(root, [])
        _signal([root, *children], signal.SIGSTOP)
        deeper = _descendants(below, children)
        if not deeper:
            break
        _signal(deeper, signal.SIGKILL)
    _signal([*children, root], signal.SIGKILL)


def _descendants(below: dict[int, list[int]], of: Iterable[int]) -> list[int]:
    found: list[int] = []
    pending = [pid for parent in of for pid in below.get(parent, ())]
    while pending:
        pid = pending.pop()
        found.append(pid)
        pending += below.get(pid, ())
    return found


def _below() -> dict[int, list[int]]:
    """Living processes by their parent."""
    below: dict[int, list[int]] = {}
    for entry in os.scandir(_PROC):
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (_PROC / entry.name / "stat").read_bytes().rpartition(b")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in {b"Z", b"X"}:
            below.setdefault(int(parent), []).append(int(entry.name))
    return below


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
