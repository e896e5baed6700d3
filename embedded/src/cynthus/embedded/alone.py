"""One platform per state folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another process is this folder's platform."""


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold the lock while the block runs; the kernel lets go of it however the process ends."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(str(lock.parent)) from None
        yield
    finally:
        os.close(descriptor)


def held(lock: Path) -> bool:
    """Whether a platform runs on the folder of this lock."""
    try:
        with alone(lock):
            return False
    except AlreadyRunning:
        return True
    except FileNotFoundError:
        return False
