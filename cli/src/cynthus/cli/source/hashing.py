"""Digests of a scan's files, chunk by chunk, in threads."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cynthus.cli import exits
from cynthus.cli.failure import Failure
from cynthus.cli.source.hash_cache import HashCache
from cynthus.cli.source.scanning import unreadable
from cynthus.cli.source.tree import Found
from cynthus.snapshots.manifest import CHUNK_BYTES, Entry

_PIECE = 1024 * 1024
_TRIES = 3
_BATCH = 256
_BATCH_BYTES = 16 * 1024 * 1024
_TICK_S = 0.1
_Hashed = tuple[Found, tuple[str, ...], int]


class FileChanged(Exception):
    """A file is not what it was a moment ago."""


@dataclass(slots=True)
class Hashing:
    """How far it is; read from another thread."""

    files: int = 0
    bytes: int = 0
    read: int = 0
    """Files that were really read, not known from before."""
    refused: list[str] = field(default_factory=list)


def hash_files(
    root: Path,
    files: list[Found],
    cache: HashCache,
    *,
    progress: Hashing | None = None,
    tick: Callable[[], None] = lambda: None,
) -> list[Entry]:
    """An entry for each file. Raises Failure for files that cannot be read or do not stop changing."""
    state = progress or Hashing()
    entries: list[Entry] = []
    unknown: list[Found] = []
    for file in files:
        chunks = cache.get(file)
        if chunks is None:
            unknown.append(file)
        else:
            entries.append(_entry(file, chunks))
    state.files, state.bytes = len(entries), sum(entry.size for entry in entries)
    if unknown:
        entries += _hash_unknown(root, unknown, cache, state, tick)
    if state.refused:
        raise unreadable(sorted(state.refused))
    cache.save()
    return entries


def _hash_unknown(
    root: Path, files: list[Found], cache: HashCache, state: Hashing, tick: Callable[[], None]
) -> list[Entry]:
    entries: list[Entry] = []
    for batch in _hashed(root, list(_batches(files)), state, tick):
        for file, chunks, at in batch:
            cache.put(file, chunks, at)
            entries.append(_entry(file, chunks))
    return entries


def _hashed(
    root: Path, batches: list[list[Found]], state: Hashing, tick: Callable[[], None]
) -> Iterator[list[_Hashed]]:
    def work(batch: list[Found]) -> list[_Hashed]:
        return [done for file in batch if (done := _settled(root, file, state)) is not None]

    if len(batches) == 1:
        yield work(batches[0])
        return
    from concurrent.futures import ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), "hash")
    try:
        for future in [pool.submit(work, batch) for batch in batches]:
            while wait([future], timeout=_TICK_S).not_done:
                tick()
            yield future.result()
            tick()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _settled(root: Path, file: Found, state: Hashing) -> _Hashed | None:
    """Hash a file as it now is; again when it changes meanwhile."""
    for _ in range(_TRIES):
        try:
            now, chunks, at = hash_file(root, file.path)
        except FileChanged:
            continue
        except OSError as error:
            state.refused.append(f"{file.path} ({error.strerror})")
            return None
        state.files, state.bytes, state.read = state.files + 1, state.bytes + now.size, state.read + 1
        return now, chunks, at
    raise Failure(
        code="file_changing",
        what=f"{file.path} changes while it is read",
        why=f"it was another file after each of {_TRIES} readings",
        fix="wait until it is written, or name it in .cynthusignore",
        exit_code=exits.SPEC_INVALID,
    )


def hash_file(root: Path, path: str) -> _Hashed:
    """A file as it is, its chunks' digests, and when (ns). Raises FileChanged, OSError."""
    descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        before = os.fstat(descriptor)
        at = time.time_ns()
        chunks = tuple(_chunks(descriptor, before.st_size))
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileChanged(path)
    executable = bool(before.st_mode & 0o100)
    times = before.st_mtime_ns, before.st_ctime_ns
    return Found(path, before.st_size, *times, before.st_ino, executable), chunks, at


def _chunks(descriptor: int, size: int) -> Iterator[str]:
    for start in range(0, size, CHUNK_BYTES):
        hasher, offset, end = hashlib.sha256(), start, min(start + CHUNK_BYTES, size)
        while offset < end:
            piece = os.pread(descriptor, min(_PIECE, end - offset), offset)
            if not piece:
                raise FileChanged
            hasher.update(piece)
            offset += len(piece)
        yield hasher.hexdigest()


def _batches(files: list[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    weight = 0
    for file in files:
        batch.append(file)
        weight += file.size
        if len(batch) == _BATCH or weight > _BATCH_BYTES:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _entry(file: Found, chunks: tuple[str, ...]) -> Entry:
    return Entry(file.path, file.size, file.executable, chunks)
