"""What is in a folder of a program, which may change it meanwhile: nothing is ever read through a link."""

import errno
import os
import posixpath
import stat
import threading
from collections.abc import Iterator

from cynthus.snapshots.manifest import Entry

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_BYTES = 1024 * 1024

Identity = tuple[int, ...]


class FileChanged(OSError):
    """A file is shorter than it was, or none any more."""


class Found:
    """A folder below `root`, once; `skipped` says why something cannot be part of a snapshot.

    Up to `keep` files stay open once they were read: what replaces them does not change what is read.
    """

    def __init__(self, root: str, folder: str, *, keep: int = 0) -> None:
        self.folder = folder
        self.files: dict[str, os.stat_result] = {}
        self.rest: list[Entry] = []
        self.skipped: list[str] = []
        self._root = root
        self._place = os.path.relpath(os.path.realpath(folder), root)
        self._keep = keep
        self._open: dict[str, int] = {}
        self._lock = threading.Lock()
        if self._place.split("/")[0] in {"..", "."}:
            self.skipped.append(".: a link that leaves the run")
            return
        pending = [""]
        while pending:
            pending += reversed(self._walk(pending.pop()))

    @property
    def empty(self) -> bool:
        """No file and no link."""
        return not self.files and all(entry.folder for entry in self.rest)

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(status.st_size for status in self.files.values())

    @property
    def state(self) -> tuple[dict[str, Identity], list[Entry]]:
        """Equal while nothing was written, replaced, added or removed."""
        return {name: identity(status) for name, status in self.files.items()}, self.rest

    def read(self, name: str, offset: int, size: int) -> Iterator[bytes]:
        """Exactly so many bytes of a file. Raises OSError."""
        descriptor, kept = self._opened(name)
        try:
            end = offset + size
            while offset < end:
                data = os.pread(descriptor, min(end - offset, _READ_BYTES), offset)
                if not data:
                    raise FileChanged(errno.ESTALE, "it became shorter while it was read", name)
                offset += len(data)
                yield data
        finally:
            if not kept:
                os.close(descriptor)

    def close(self) -> None:
        """Give back what is kept open."""
        with self._lock:
            descriptors, self._open, self._keep = self._open, {}, 0
        for descriptor in descriptors.values():
            os.close(descriptor)

    def _opened(self, name: str) -> tuple[int, bool]:
        with self._lock:
            if name in self._open:
                return self._open[name], True
        descriptor = _beneath(self._root, f"{self._place}/{name}", _FILE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileChanged(errno.ESTALE, "it is no file any more", name)
        with self._lock:
            if name in self._open or len(self._open) >= self._keep:
                return descriptor, False
            self._open[name] = descriptor
        return descriptor, True

    def _walk(self, path: str) -> list[str]:
        """The folders in a folder."""
        try:
            place = f"{self._place}/{path}" if path else self._place
            descriptor = _beneath(self._root, place, _FOLDER)
        except OSError as error:
            if path or not isinstance(error, FileNotFoundError):
                self.skipped.append(f"{path or '.'}: {error.strerror}")
            return []
        try:
            entries = sorted(os.scandir(descriptor), key=lambda entry: entry.name)
            if path and not entries:
                self.rest.append(Entry(path, folder=True))
            return [name for entry in entries if (name := self._take(path, entry, descriptor))]
        finally:
            os.close(descriptor)

    def _take(self, path: str, entry: "os.DirEntry[str]", folder: int) -> str | None:
        name = f"{path}/{entry.name}" if path else entry.name
        if not _encodable(name):
            self.skipped.append(f"{name!a}: its name is not UTF-8")
            return None
        try:
            if entry.is_dir(follow_symlinks=False):
                return name
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                self._take_link(name, os.readlink(entry.name, dir_fd=folder))
            elif not stat.S_ISREG(status.st_mode):
                self.skipped.append(f"{name}: not a file")
            elif not os.access(entry.name, os.R_OK, dir_fd=folder):
                self.skipped.append(f"{name}: not readable")
            else:
                self.files[name] = status
        except FileNotFoundError:
            self.skipped.append(f"{name}: it is gone")
        return None

    def _take_link(self, name: str, target: str) -> None:
        here = posixpath.dirname(f"{self.folder}/{name}")
        absolute = posixpath.normpath(posixpath.join(here, target))
        if not absolute.startswith(f"{self.folder}/") or not _encodable(target):
            self.skipped.append(f"{name}: a link that leaves its folder")
            return
        inside = posixpath.relpath(absolute, here) if target.startswith("/") else target
        self.rest.append(Entry(name, link=inside))


def identity(status: os.stat_result) -> Identity:
    """Changes when a file is written or replaced."""
    return (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _beneath(root: str, path: str, flags: int) -> int:
    """A descriptor of `path` below `root`, no part of which is a link. Raises OSError."""
    *folders, name = path.split("/")
    descriptor = os.open(root, _PATH)
    try:
        for part in folders:
            below = os.open(part, _PATH, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        return os.open(name, flags, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
