"""Data snapshots as read-only folders, laid out once per machine and checked before each use."""

import fcntl
import hashlib
import os
import posixpath
from collections.abc import Iterator

from cynthus.snapshots import manifest
from cynthus.worker.cache import Cache, remove_tree, try_lock
from cynthus.worker.content import Content, ContentMissing
from cynthus.worker.control import Control
from cynthus.worker.layout import Layout

_SEAL_LINES = 3


class Trees:
    """Read-only folders by snapshot digest; what an attempt uses is kept until `release`."""

    def __init__(self, cache: Cache, content: Content, control: Control) -> None:
        self._cache = cache
        self._content = content
        self._control = control
        self._held: list[int] = []

    def open(self, digest: str) -> str:
        """The folder of a snapshot. Raises ContentMissing."""
        name = digest.removeprefix("sha256:")
        folder = self._sound(name)
        if folder is None:
            with self._cache.building(f"tree-{name}", self._control):
                folder = self._sound(name) or self._build(name)
        return folder

    def release(self) -> None:
        """Let others remove what was used."""
        while self._held:
            os.close(self._held.pop())

    def _sound(self, name: str) -> str | None:
        seal = f"{self._cache.folder}/trees/{name}.seal"
        try:
            with open(seal, encoding="ascii") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return None
        if len(lines) != _SEAL_LINES:
            return None
        folder = self._hold(lines[0])
        if _fingerprint(folder) != lines[1]:
            return None
        os.utime(seal)
        return folder

    def _hold(self, generation: str) -> str:
        descriptor = self._cache.hold(generation)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        self._held.append(descriptor)
        return f"{self._cache.folder}/trees/{generation}"

    def _build(self, name: str) -> str:
        generation = f"{name}-{os.urandom(4).hex()}"
        folder = self._hold(generation)
        fresh = f"{folder}.fresh"
        os.mkdir(fresh, mode=0o700)
        try:
            lines = self._content.manifest(name, self._cache)
            layout = Layout(fresh, self._content, self._cache, self._control, kept=False)
            layout.write(manifest.decode(lines))
            size = _freeze(fresh)
            os.rename(fresh, folder)
        except manifest.ManifestInvalid as error:
            raise ContentMissing(str(error)) from error
        finally:
            remove_tree(fresh)
        seal = self._cache.fresh()
        with open(seal, "w", encoding="ascii") as file:
            file.write(f"{generation}\n{_fingerprint(folder)}\n{size}\n")
        os.replace(seal, f"{self._cache.folder}/trees/{name}.seal")
        return folder


def single_file(folder: str, mount: str) -> str:
    """What to link at `mount`: the folder, or the one file in it when that has the mount's name."""
    name = posixpath.basename(posixpath.normpath(mount))
    entries = os.listdir(folder)
    if entries == [name] and not os.path.isdir(f"{folder}/{name}"):
        return f"{folder}/{name}"
    return folder


def collect(cache: Cache) -> None:
    """Remove folders that no seal names and nobody uses."""
    folder = f"{cache.folder}/trees"
    named = {_generation(f"{folder}/{name}") for name in os.listdir(folder) if name.endswith(".seal")}
    for name in os.listdir(folder):
        generation = name.removesuffix(".fresh")
        if not name.endswith(".seal") and generation not in named:
            remove_unused(cache, generation, f"{folder}/{name}")


def remove_unused(cache: Cache, lock: str, path: str) -> bool:
    """Remove a folder unless a worker holds its lock."""
    descriptor = cache.hold(lock)
    try:
        free = try_lock(descriptor, fcntl.LOCK_EX)
        if free:
            remove_tree(path)
    finally:
        os.close(descriptor)
    return free


def _generation(seal: str) -> str:
    try:
        with open(seal, encoding="ascii") as file:
            return file.readline().strip()
    except FileNotFoundError:
        return ""


def _freeze(folder: str) -> int:
    total = 0
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            file = f"{path}/{name}"
            if not os.path.islink(file):
                status = os.stat(file)
                total += status.st_size
                os.chmod(file, status.st_mode & 0o555)
        os.chmod(path, 0o555)  # noqa: S103 - read-only is the point
    return total


def _fingerprint(folder: str) -> str:
    """Changes when anybody changes, adds or removes anything; contents are told by size, times and inode."""
    hasher = hashlib.sha256()
    for path, status in _walk(folder):
        fields = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        hasher.update(f"{path}\0{fields}\n".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        yield "", os.lstat(folder)
        pending = [folder]
        while pending:
            entries = sorted(os.scandir(pending.pop()), key=lambda entry: entry.name)
            for entry in entries:
                yield entry.path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    except OSError:
        return
