"""What the standard library lacks of Linux: prctl, hole punching, the memory that /proc shows."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2
_STAT_ARGUMENTS = 48
_STAT_ENVIRONMENT = 50
_STAT_FIRST = 3


def adopt_orphans() -> None:
    """Processes that lose their parent below this one become its children, so none gets away."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(signal_number: int) -> None:
    """Receive `signal_number` when the thread that forked this process ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def hide_memory() -> None:
    """Other processes of the same user can neither trace this one nor read its environment."""
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget_variable(name: str) -> None:
    """Blank a variable where /proc/<pid>/environ shows it; os.environ must not hold it any more."""
    start, end = _area(_STAT_ENVIRONMENT)
    block = ctypes.string_at(start, end - start)
    offset = 0
    for item in block.split(b"\0"):
        if item.startswith(f"{name}=".encode()):
            ctypes.memset(start + offset, 0, len(item))
        offset += len(item) + 1


def retitle(title: str) -> None:
    """Replace the command line that /proc shows."""
    start, end = _area(_STAT_ARGUMENTS)
    room = end - start
    ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)
    _LIBC.prctl(_PR_SET_NAME, title.encode()[:15], 0, 0, 0)


def free_blocks(descriptor: int, until: int) -> None:
    """Give the disk back what lies before byte `until`; a file system that cannot keeps it."""
    mode = _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE
    _LIBC.fallocate(descriptor, mode, ctypes.c_int64(0), ctypes.c_int64(until))


def _area(field: int) -> tuple[int, int]:
    with open(f"/proc/{os.getpid()}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[field - _STAT_FIRST]), int(fields[field - _STAT_FIRST + 1])
