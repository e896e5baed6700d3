"""The folder under LocalBlobs: blocking calls, to be made in a thread."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from typing import BinaryIO
from zlib import crc32

from cynthus.blobs import durability, layout
from cynthus.blobs.ports import BlobExists, BlobMissing, BlobStat, DigestMismatch
from cynthus.events import new_id

_STALE_S = 24 * 3600
_LOCKS = 64


class Folder:
    """Objects, unfinished writes and locks below one root."""

    def __init__(self, root: Path) -> None:
        self.objects = root / "objects"
        self.unfinished = root / "unfinished"
        self._locks = root / "locks"
        for folder in (self.objects, self.unfinished, self._locks):
            durability.make_folder(folder)
        _remove_stale(self.unfinished)

    def path(self, key: str) -> Path:
        """The file of a key."""
        return layout.path_of(self.objects, key)

    def temporary(self) -> Path:
        """A fresh name for a write in progress."""
        return self.unfinished / new_id("w")

    def write_many(self, items: dict[str, bytes]) -> None:
        """Write all, make them durable at once, then give them their names."""
        targets = [(self.path(key), data) for key, data in items.items()]
        written: list[tuple[Path, Path]] = []
        try:
            for target, data in targets:
                temporary = self.temporary()
                written.append((temporary, target))
                with temporary.open("xb", buffering=0) as stream:
                    _write(stream, data)
                    _set_generation(stream)
            durability.sync_files(self.unfinished, (temporary for temporary, _ in written))
            folders = {target.parent for target, _ in targets}
            for folder in folders:
                durability.make_folder(folder)
            for temporary, target in written:
                temporary.replace(target)
            durability.sync_names(self.unfinished, folders)
        except BaseException:
            for temporary, _ in written:
                temporary.unlink(missing_ok=True)
            raise

    def open(self, key: str, start: int, end: int | None, size: int) -> tuple[BinaryIO, bytes, int]:
        """An open file, the first piece, and how many bytes are wanted in all. Raises BlobMissing."""
        try:
            stream = self.path(key).open("rb", buffering=0)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise BlobMissing(key) from error
        length = os.fstat(stream.fileno()).st_size
        wanted = max(0, min(length, length if end is None else end) - start)
        stream.seek(start)
        return stream, stream.read(min(size, wanted)), wanted

    def read_many(self, keys: list[str]) -> dict[str, bytes]:
        """The bytes of those of the keys that exist."""
        found: dict[str, bytes] = {}
        for key in keys:
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                found[key] = self.path(key).read_bytes()
        return found

    def stat(self, key: str) -> BlobStat | None:
        """What is under the key, or None."""
        return self.stat_path(key, self.path(key))

    def stat_many(self, keys: list[str]) -> dict[str, BlobStat]:
        """Those of the keys that exist."""
        return {key: found for key in keys if (found := self.stat(key)) is not None}

    @staticmethod
    def stat_path(key: str, path: Path) -> BlobStat | None:
        """What is at a path, or None; a folder is nothing."""
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if S_ISDIR(status.st_mode) else BlobStat(key, status.st_size, status.st_mtime_ns)

    def walk(self, prefix: str) -> Iterator[BlobStat]:
        """Everything under a prefix, in key order."""
        folder = prefix.rpartition("/")[0]
        yield from self._walk(self.path(folder) if folder else self.objects, prefix)

    def _walk(self, folder: Path, prefix: str) -> Iterator[BlobStat]:
        with suppress(FileNotFoundError, NotADirectoryError):
            names = [(layout.key_of(self.objects, path), path) for path in folder.iterdir()]
            # A folder's keys sort by the slash that follows its name.
            for name, path in sorted((f"{key}/" if path.is_dir() else key, path) for key, path in names):
                if name.endswith("/") and (name.startswith(prefix) or prefix.startswith(name)):
                    yield from self._walk(path, prefix)
                elif name.startswith(prefix) and (found := self.stat_path(name, path)) is not None:
                    yield found

    def delete(self, key: str) -> None:
        """Remove a blob durably."""
        path = self.path(key)
        with self.lock(key), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            durability.sync_folder(path.parent)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold back other processes that would replace the same key."""
        descriptor = os.open(self._locks / f"{crc32(key.encode()) % _LOCKS}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Writer:
    """One put in progress: nothing is visible under the key until `finish` returns."""

    def __init__(self, folder: Folder, key: str) -> None:
        self._folder = folder
        self._key = key
        self._target = folder.path(key)
        self._temporary = folder.temporary()
        self._stream: BinaryIO | None = None
        self._hasher = hashlib.sha256()
        self._size = 0
        self.open = True

    def write(self, piece: bytes | bytearray) -> None:
        """Add bytes."""
        if self._stream is None:
            self._stream = self._temporary.open("xb", buffering=0)
        self._hasher.update(piece)
        _write(self._stream, piece)
        self._size += len(piece)

    def finish(self, last: bytes | bytearray, sha256: str | None, if_generation: int | None) -> BlobStat:
        """Check, make durable and name the bytes. Raises DigestMismatch or BlobExists."""
        self.write(last)
        if sha256 is not None and self._hasher.hexdigest() != sha256:
            raise DigestMismatch(f"the bytes under {self._key} are not those of sha256:{sha256}")
        assert self._stream is not None
        generation = _set_generation(self._stream)
        os.fsync(self._stream.fileno())
        durability.make_folder(self._target.parent)
        self._name(if_generation)
        durability.sync_folder(self._target.parent)
        self.abandon()
        return BlobStat(self._key, self._size, generation)

    def abandon(self) -> None:
        """Leave nothing behind but what was named."""
        self.open = False
        if self._stream is not None:
            self._stream.close()
            self._temporary.unlink(missing_ok=True)

    def _name(self, if_generation: int | None) -> None:
        if if_generation == 0:
            try:
                self._target.hardlink_to(self._temporary)
            except FileExistsError as error:
                raise BlobExists(self._key) from error
            return
        with self._folder.lock(self._key):
            present = self._folder.stat_path(self._key, self._target)
            if if_generation is not None and (present is None or present.generation != if_generation):
                raise BlobExists(self._key)
            self._temporary.replace(self._target)


def _write(stream: BinaryIO, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _set_generation(stream: BinaryIO) -> int:
    """The clock in full: a file system's own time stamps may repeat within milliseconds."""
    generation = time.time_ns()
    os.utime(stream.fileno(), ns=(generation, generation))
    return generation


def _remove_stale(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _STALE_S:
                path.unlink()
