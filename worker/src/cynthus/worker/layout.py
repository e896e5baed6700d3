"""A snapshot's entries, laid out as files in a folder."""

import os
import posixpath
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ParamSpec

from cynthus.snapshots.frames import MAX_BLOB_BYTES
from cynthus.snapshots.manifest import CHUNK_BYTES, Entry
from cynthus.worker.cache import Cache, write_all
from cynthus.worker.content import Content, ContentMissing, Piece
from cynthus.worker.control import Control

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Arguments = ParamSpec("Arguments")

_THREADS = 4
_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_BLOBS = 500
_IN_FLIGHT = 8


class Layout:
    """Writes entries below `root`. With `kept`, blobs are taken from and added to the cache."""

    def __init__(self, root: str, content: Content, cache: Cache, control: Control, *, kept: bool) -> None:
        self._root = root
        self._content = content
        self._cache = cache
        self._control = control
        self._kept = kept
        self._pool: ThreadPoolExecutor | None = None
        self._running: list[Future[None]] = []
        self._batch: list[Piece] = []
        self._batch_bytes = 0
        self._folders: set[str] = set()

    def write(self, entries: Iterable[Entry]) -> None:
        """Raises ContentMissing, OSError. Links come last, so that nothing is ever written through one."""
        links: list[Entry] = []
        try:
            for entry in entries:
                self._control.check()
                if entry.link is not None:
                    links.append(entry)
                elif entry.folder:
                    self._folder(entry.path)
                else:
                    self._file(entry)
            self._fetch_batch()
            self._wait_for(0)
            for entry in links:
                self._link(entry)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise ContentMissing(f"the snapshot names {error.filename!r} twice") from error
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)

    def _file(self, entry: Entry) -> None:
        path = self._place(entry.path)
        mode = 0o755 if entry.executable else 0o644
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            for number, digest in enumerate(entry.chunks):
                offset = number * CHUNK_BYTES
                piece = Piece(digest, min(CHUNK_BYTES, entry.size - offset), path, offset)
                if not (self._kept and self._cache.copy(digest, piece.size, descriptor, offset)):
                    self._want(piece)
        finally:
            os.close(descriptor)

    def _want(self, piece: Piece) -> None:
        if piece.size > MAX_BLOB_BYTES:
            self._submit(self._fetch_large, piece)
            return
        if self._batch_bytes + piece.size > _BATCH_BYTES or len(self._batch) >= _BATCH_BLOBS:
            self._fetch_batch()
        self._batch.append(piece)
        self._batch_bytes += piece.size

    def _fetch_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            self._submit(self._content.small, batch, self._receive)

    def _receive(self, piece: Piece, data: bytes) -> None:
        descriptor = os.open(piece.path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            write_all(descriptor, data, piece.offset)
        finally:
            os.close(descriptor)
        if self._kept:
            self._cache.keep(piece.digest, data)

    def _fetch_large(self, piece: Piece) -> None:
        descriptor = os.open(piece.path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            if not self._kept:
                self._content.large(piece, descriptor, piece.offset)
                return
            self._keep_large(piece)
            if not self._cache.copy(piece.digest, piece.size, descriptor, piece.offset):
                raise ContentMissing(f"blob {piece.digest} was damaged in the cache")
        finally:
            os.close(descriptor)

    def _keep_large(self, piece: Piece) -> None:
        path = self._cache.blob(piece.digest)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with self._cache.filling(path) as descriptor:
            self._content.large(piece, descriptor, 0)

    def _submit(
        self, call: Callable[Arguments, None], *arguments: Arguments.args, **options: Arguments.kwargs
    ) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(_THREADS)
        self._wait_for(_IN_FLIGHT - 1)
        self._running.append(self._pool.submit(call, *arguments, **options))

    def _wait_for(self, most: int) -> None:
        while len(self._running) > most:
            self._running.pop(0).result()

    def _place(self, path: str) -> str:
        self._folder(posixpath.dirname(path))
        return f"{self._root}/{path}"

    def _folder(self, path: str) -> None:
        if path not in self._folders:
            os.makedirs(f"{self._root}/{path}", exist_ok=True)
            self._folders.add(path)

    def _link(self, entry: Entry) -> None:
        target = entry.link or ""
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), target))
        if target.startswith("/") or inside == ".." or inside.startswith("../"):
            raise ContentMissing(f"the link {entry.path!r} leaves its snapshot")
        path = self._place(entry.path)
        os.symlink(target, path)
        real = os.path.realpath(path)
        if real != self._root and not real.startswith(f"{os.path.realpath(self._root)}/"):
            raise ContentMissing(f"the link {entry.path!r} leaves its snapshot")
