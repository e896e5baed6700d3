"""Folders by name, each made once per machine; what somebody uses stays, what nobody uses may go."""

import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

_WAIT_S = 0.05
_MARK = ".complete"
_FRESH = ".fresh"


class Kept(NamedTuple):
    """A finished folder: when it was last used (seconds of the epoch) and its bytes."""

    name: str
    used: float
    size: int


class Shelf:
    """Folders below one, shared by processes and threads. What was opened is held until `release`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._held: list[int] = []
        self._guard = threading.Lock()
        os.makedirs(f"{folder}/locks", mode=0o700, exist_ok=True)

    def open(self, name: str, make: Callable[[str], int], check: Callable[[], None]) -> str:
        """The folder `name`. `make` fills an empty one and says its bytes; `check` may raise, even in a wait.

        Whoever is killed while making leaves nothing that is taken for finished.
        """
        descriptor = self._lock(name)
        try:
            while not (_locked(descriptor, fcntl.LOCK_SH) and self._finished(name)):
                check()
                if not _locked(descriptor, fcntl.LOCK_EX):
                    time.sleep(_WAIT_S)
                elif not self._finished(name):
                    self._make(name, make)
            os.utime(self._mark(name))
        except BaseException:
            os.close(descriptor)
            raise
        with self._guard:
            self._held.append(descriptor)
        return self.path(name)

    def path(self, name: str) -> str:
        """Where a folder is, or would be."""
        return f"{self.folder}/{name}"

    def has(self, name: str) -> bool:
        """Whether it is finished at this moment; only `open` keeps it so."""
        return self._finished(name)

    def touch(self, name: str) -> None:
        """Count as used now, if it is there."""
        with suppress(FileNotFoundError):
            os.utime(self._mark(name))

    def holding(self) -> tuple[int, ...]:
        """The descriptors that hold what was opened; a process that inherits one holds it too."""
        with self._guard:
            return tuple(self._held)

    def release(self) -> None:
        """Let others remove what was opened."""
        with self._guard:
            held, self._held = self._held, []
        for descriptor in held:
            os.close(descriptor)

    def kept(self) -> Iterator[Kept]:
        """All finished folders."""
        for entry in os.listdir(self.folder):
            if entry.endswith(_MARK):
                with suppress(FileNotFoundError, ValueError), open(f"{self.folder}/{entry}", "rb") as mark:
                    used = os.fstat(mark.fileno()).st_mtime
                    yield Kept(entry.removesuffix(_MARK), used, int(mark.read()))

    def remove(self, name: str) -> bool:
        """Remove a folder unless somebody uses or makes it."""
        descriptor = self._lock(name)
        try:
            free = _locked(descriptor, fcntl.LOCK_EX)
            if free:
                remove_tree(self._mark(name))
                remove_tree(self.path(name))
                remove_tree(f"{self.path(name)}{_FRESH}")
        finally:
            os.close(descriptor)
        return free

    def collect(self) -> None:
        """Remove what killed processes left unfinished."""
        for entry in os.listdir(self.folder):
            name = entry.removesuffix(_FRESH)
            if entry != "locks" and not entry.endswith(_MARK) and not self._finished(name):
                self.remove(name)

    def _make(self, name: str, make: Callable[[str], int]) -> None:
        fresh, path = f"{self.path(name)}{_FRESH}", self.path(name)
        remove_tree(fresh)
        remove_tree(path)
        os.mkdir(fresh, mode=0o755)
        try:
            size = make(fresh)
            os.rename(fresh, path)
        except BaseException:
            remove_tree(fresh)
            raise
        mark = self._mark(name)
        with open(f"{mark}{_FRESH}", "w", encoding="ascii") as file:
            file.write(str(size))
        os.replace(f"{mark}{_FRESH}", mark)

    def _finished(self, name: str) -> bool:
        return os.path.exists(self._mark(name))

    def _mark(self, name: str) -> str:
        return f"{self.folder}/{name}{_MARK}"

    def _lock(self, name: str) -> int:
        return os.open(f"{self.folder}/locks/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def remove_tree(path: str) -> None:
    """Remove a file, or a folder with all that is in it, read-only folders too; what is gone is fine."""
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        os.chmod(path, 0o700)
        for entry in list(os.scandir(path)):
            remove_tree(entry.path)
        os.rmdir(path)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
