"""Files that are whole or not there, also after a kill or a power cut."""

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cynthus.oci.ports import RegistryUnavailable, StorageFull

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEMPORARY = ".writing-"
_FORGOTTEN_S = 24 * 3600.0


@contextmanager
def told() -> Iterator[None]:
    """Errors of the disk as a registry tells them. Raises StorageFull, RegistryUnavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(f"no room left: {error.strerror}") from error
        raise RegistryUnavailable(f"the folder of images: {error}") from error


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_names(folder.parent)


def sync_names(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """A file under its name only when all pieces came and are on the disk."""
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    try:
        with temporary.open("xb", buffering=0) as stream:
            for piece in pieces:
                _write_all(stream.fileno(), piece)
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_names(path.parent)


def remove_forgotten(folder: Path) -> None:
    """Take away what a killed writer left more than a day ago."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _FORGOTTEN_S:
                path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all threads and processes that take this lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
