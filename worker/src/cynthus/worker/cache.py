"""The folder of things named by digest, shared by the workers of a machine."""

import errno
import fcntl
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cynthus.worker.control import Control

_WAIT_S = 0.05
_VERIFIED_COPY_BYTES = 1024 * 1024
_SERIAL = itertools.count()


class Cache:
    """Paths inside the cache, and the locks that keep what is in use."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        for name in ("blobs", "manifests", "trees", "locks", "fresh"):
            os.makedirs(f"{folder}/{name}", mode=0o700, exist_ok=True)

    def blob(self, name: str) -> str:
        """Where a blob is kept."""
        return f"{self.folder}/blobs/{name[:2]}/{name}"

    def manifest(self, name: str) -> str:
        """Where a manifest is kept."""
        return f"{self.folder}/manifests/{name}"

    def fresh(self) -> str:
        """A new path, to be filled and renamed."""
        return f"{self.folder}/fresh/{os.getpid()}-{next(_SERIAL)}"

    @contextmanager
    def filling(self, path: str) -> Iterator[int]:
        """A new file that appears at `path` once it is whole; nothing is left of one that fails."""
        with whole_file(path, self.fresh()) as descriptor:
            yield descriptor

    def hold(self, name: str) -> int:
        """An open descriptor of the lock `name`, to be locked by the caller."""
        return os.open(f"{self.folder}/locks/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def building(self, name: str, control: Control) -> Iterator[None]:
        """Held by one worker at a time; waiting for another obeys `control`."""
        descriptor = self.hold(name)
        try:
            while not try_lock(descriptor, fcntl.LOCK_EX):
                control.check()
                control.pause(_WAIT_S)
            yield
        finally:
            os.close(descriptor)

    def keep(self, name: str, data: bytes) -> None:
        """Store a verified blob."""
        path = self.blob(name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        written(path, data, self.fresh())

    def copy(self, name: str, size: int, target: int, offset: int) -> bool:
        """Copy a blob into an open file; False when it is not here, or damaged and therefore removed."""
        path = self.blob(name)
        try:
            source = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            sound = os.fstat(source).st_size == size and _copied(source, name, size, target, offset)
        finally:
            os.close(source)
        if not sound:
            os.unlink(path)
        return sound


def try_lock(descriptor: int, kind: int) -> bool:
    """Take a lock (fcntl.LOCK_SH or LOCK_EX) unless somebody else holds it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def written(path: str, data: bytes, fresh: str) -> None:
    """A whole file or none: written beside, then renamed."""
    with whole_file(path, fresh) as descriptor:
        write_all(descriptor, data, 0)


@contextmanager
def whole_file(path: str, fresh: str) -> Iterator[int]:
    """To be written at `fresh`; renamed at the end, removed after a failure."""
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o400)
    try:
        yield descriptor
        os.replace(fresh, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Every byte, or OSError."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def remove_tree(path: str) -> None:
    """Remove a folder with all that is in it, read-only folders too; what is gone already is fine."""
    with suppress(FileNotFoundError):
        if not is_folder(path):
            os.unlink(path)
            return
        os.chmod(path, 0o700)
        for entry in list(os.scandir(path)):
            remove_tree(entry.path)
        os.rmdir(path)


def is_folder(path: str) -> bool:
    """A real folder, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _copied(source: int, name: str, size: int, target: int, offset: int) -> bool:
    if size > _VERIFIED_COPY_BYTES:
        return _cloned(source, size, target, offset)
    data = os.read(source, size)
    if hashlib.sha256(data).hexdigest() != name:
        return False
    write_all(target, data, offset)
    return True


def _cloned(source: int, size: int, target: int, offset: int) -> bool:
    done = 0
    try:
        while done < size and (count := os.copy_file_range(source, target, size - done, done, offset + done)):
            done += count
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        while done < size and (data := os.pread(source, _VERIFIED_COPY_BYTES, done)):
            write_all(target, data, offset + done)
            done += len(data)
    return done == size
