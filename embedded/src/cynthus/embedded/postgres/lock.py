import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cynthus.embedded.postgres.unavailable import PostgresUnavailable

_POLL_SECONDS = 0.01


def try_lock(path: Path) -> int | None:
    """Take the file's lock; an open descriptor to close, or None when someone holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def turn(path: Path, timeout: float) -> Iterator[None]:
    """Let one process at a time start or stop the server; waits at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise PostgresUnavailable(
                f"Another process has been starting or stopping this database for {timeout:.0f} seconds.",
                f"See who holds {path} (fuser {path}), end it, and start again.",
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
