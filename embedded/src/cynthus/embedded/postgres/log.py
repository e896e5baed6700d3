import os
import shutil
from pathlib import Path

LIMIT_BYTES = 4 * 1024 * 1024


def rotate(log: Path, limit: int = LIMIT_BYTES) -> None:
    """Keep the log and one older part, each about `limit` bytes at most; safe under a running server.

    The server appends through its own descriptor, so the file is emptied in place.
    """
    if not log.exists() or log.stat().st_size <= limit:
        return
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def open_for_append(log: Path) -> int:
    """A descriptor that the server inherits as its standard error."""
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def read_from(log: Path, offset: int) -> str:
    """What the server wrote since `offset` bytes."""
    with log.open("rb") as stream:
        stream.seek(offset)
        return stream.read().decode(errors="replace")
