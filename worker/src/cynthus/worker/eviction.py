"""Keeps the cache within its limit: what was not used for longest goes first, what is in use stays."""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from cynthus.environments.bytecode import compiled_bytes
from cynthus.environments.shelf import Shelf
from cynthus.worker import trees, workspace
from cynthus.worker.cache import Cache, remove_tree, try_lock
from cynthus.worker.images import layers_of
from cynthus.worker.layered import environments_of

_TARGET = 0.9
_ABANDONED_S = 24 * 3600.0


class _Item(NamedTuple):
    used: float
    size: int
    remove: Callable[[], object]


def collect(home: str, limit_bytes: int, *, keep_runs: bool) -> None:
    """Remove leftovers of dead workers, then the least recently used until 90% of the limit is left."""
    cache = Cache(f"{home}/cache")
    os.makedirs(f"{home}/runs", exist_ok=True)
    if not keep_runs:
        workspace.collect(f"{home}/runs")
    trees.collect(cache)
    _collect_fresh(f"{cache.folder}/fresh")
    shelves = [Shelf(environments_of(cache)), Shelf(layers_of(cache))]
    for shelf in shelves:
        shelf.collect()
    kept = [*_blobs(cache), *_trees(cache), *_shelved(shelves)]
    items = sorted(kept, key=lambda item: item.used)
    total = sum(item.size for item in items)
    if total <= limit_bytes:
        return
    for item in items:
        if total <= limit_bytes * _TARGET:
            return
        item.remove()
        total -= item.size


def _blobs(cache: Cache) -> Iterator[_Item]:
    for kind in ("blobs", "manifests"):
        for folder, _, names in os.walk(f"{cache.folder}/{kind}"):
            for name in names:
                path = f"{folder}/{name}"
                with suppress(FileNotFoundError):
                    status = os.stat(path)
                    used = max(status.st_atime, status.st_mtime)
                    yield _Item(used, status.st_size, partial(remove_tree, path))


def _shelved(shelves: Iterable[Shelf]) -> Iterator[_Item]:
    """Layers are used after what is made of them, so they also go after it: only then is space freed."""
    for shelf in shelves:
        for kept in shelf.kept():
            size = kept.size + compiled_bytes(shelf.path(kept.name))
            yield _Item(kept.used, size, partial(shelf.remove, kept.name))


def _trees(cache: Cache) -> Iterator[_Item]:
    for name in os.listdir(f"{cache.folder}/trees"):
        if name.endswith(".seal"):
            path = f"{cache.folder}/trees/{name}"
            with suppress(FileNotFoundError, ValueError, IndexError), open(path, encoding="ascii") as file:
                used, lines = os.fstat(file.fileno()).st_mtime, file.read().splitlines()
                yield _Item(used, int(lines[2]), partial(_remove_data, cache, path, lines[0]))


def _remove_data(cache: Cache, seal: str, generation: str) -> None:
    with _locked(cache, generation) as free:
        if free:
            os.unlink(seal)
            remove_tree(f"{cache.folder}/trees/{generation}")


@contextmanager
def _locked(cache: Cache, name: str) -> Iterator[bool]:
    """False when the lock is in use."""
    descriptor = cache.hold(name)
    try:
        yield try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _collect_fresh(folder: str) -> None:
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        with suppress(FileNotFoundError):
            if time.time() - os.lstat(path).st_mtime > _ABANDONED_S:
                remove_tree(path)
