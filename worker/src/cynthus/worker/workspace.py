"""The folder of one attempt: its work folder with source and data, and private places beside it."""

import fcntl
import os
import posixpath
import time
from collections.abc import Iterable

from cynthus.worker.cache import is_folder, remove_tree, try_lock
from cynthus.worker.orders import OrderInvalid

_RESERVE_BYTES = 8 * 1024 * 1024
_YOUNG_S = 60.0
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class Workspace:
    """`RUNS/<run>/<epoch>`: locked while it is used, so that others may remove what a dead worker left."""

    def __init__(
        self, runs: str, run_id: str, epoch: int, mounts: Iterable[str], *, lock: int | None = None
    ) -> None:
        """A new one, or the one that a killed worker left, whose `lock` was held meanwhile."""
        adopted = lock is not None
        self._run = f"{runs}/{run_id}"
        self.folder = f"{self._run}/{epoch}"
        if not adopted:
            remove_tree(self.folder)
        os.makedirs(self.folder, mode=0o700, exist_ok=adopted)
        self.lock = os.open(f"{self.folder}/lock", _LOCK, 0o600) if lock is None else lock
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        outside = max((_depth(mount) for mount in mounts), default=0)
        self.work = "/".join([self.folder, *["above"] * outside, "work"])
        self.home, self.temporary = f"{self.folder}/home", f"{self.folder}/temporary"
        self.checkpoint = f"{self.folder}/checkpoint"
        for path in (self.work, self.home, self.temporary, self.checkpoint):
            os.makedirs(path, exist_ok=adopted)

    def inside(self, path: str) -> str:
        """A path relative to the work folder, which must not leave it."""
        normal = posixpath.normpath(path)
        if path.startswith("/") or normal == ".." or normal.startswith("../"):
            raise OrderInvalid(f"{path!r} is outside the project")
        return posixpath.normpath(f"{self.work}/{normal}")

    def keep_checkpoint_at(self, path: str, *, restored: bool) -> None:
        """The project's own folder instead; empty, where what was saved of it is to be laid out.

        Raises OrderInvalid.
        """
        place = self.inside(path)
        real = os.path.realpath(place)
        if not place.startswith(f"{self.work}/") or not real.startswith(f"{self.work}/"):
            raise OrderInvalid(f"{path!r} cannot be the checkpoint folder: use one inside the project")
        if restored:
            remove_tree(real)
        os.makedirs(real, exist_ok=True)
        self.checkpoint = real

    def mount(self, mount: str, target: str) -> str:
        """Make data appear at `mount`; where it appears."""
        place = posixpath.normpath(f"{self.work}/{mount}")
        if mount.startswith("/") or place == self.work or self.work.startswith(f"{place}/"):
            raise OrderInvalid(f"data cannot appear at {mount!r}: use a folder of its own inside the project")
        parent = posixpath.dirname(place)
        os.makedirs(parent, exist_ok=True)
        real = os.path.realpath(parent)
        if real != self.folder and not real.startswith(f"{self.folder}/"):
            raise OrderInvalid(f"data cannot appear at {mount!r}: that is inside other data or a link")
        remove_tree(place)
        os.symlink(target, place)
        return place

    def reserve(self) -> None:
        """Hold some disk, so that a full one still leaves room for the log's end and the report."""
        descriptor = os.open(f"{self.folder}/reserve", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
        except OSError:
            return
        finally:
            os.close(descriptor)

    def free_reserve(self) -> None:
        """Use the reserve."""
        remove_tree(f"{self.folder}/reserve")

    def free_bytes(self) -> int:
        """What a program can have of the disk."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def remove(self, *, keep: bool) -> None:
        """Remove everything, unless it is to be kept for a look."""
        if not keep:
            remove_tree(self.folder)
            try:
                os.rmdir(self._run)
            except OSError:
                keep = True
        os.close(self.lock)


def collect(runs: str) -> None:
    """Remove folders of attempts whose worker is gone."""
    for run in os.listdir(runs):
        for epoch in os.listdir(f"{runs}/{run}"):
            _collect_one(f"{runs}/{run}/{epoch}")
        try:
            os.rmdir(f"{runs}/{run}")
        except OSError:
            continue


def _collect_one(folder: str) -> None:
    if not is_folder(folder) or time.time() - os.lstat(folder).st_mtime < _YOUNG_S:
        return
    lock = os.open(f"{folder}/lock", _LOCK, 0o600)
    try:
        if try_lock(lock, fcntl.LOCK_EX):
            remove_tree(folder)
    finally:
        os.close(lock)


def _depth(mount: str) -> int:
    parts = posixpath.normpath(mount).split("/")
    return next((count for count, part in enumerate(parts) if part != ".."), len(parts))
