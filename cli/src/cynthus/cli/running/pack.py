"""From folders to snapshots: what is scanned, how, and what is left out."""

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cynthus.cli.running.data import Data
from cynthus.cli.source.hash_cache import HashCache
from cynthus.cli.source.hashing import Hashing, hash_files
from cynthus.cli.source.scanning import SENT_BY_ITSELF, scan_data, scan_project
from cynthus.cli.source.snapshot import Snapshot, take
from cynthus.cli.source.tree import Found, Scan
from cynthus.snapshots.manifest import Entry, digest, encode


@dataclass(frozen=True, slots=True)
class Scanned:
    """A project and the folders of data beside it."""

    source: Scan
    data: list[tuple[Data, Scan]]


@dataclass(frozen=True, slots=True)
class Packed:
    """Snapshots of the same."""

    source: Snapshot
    data: list[tuple[Data, Snapshot]]

    def all(self) -> list[Snapshot]:
        """Everything that has to be on the platform."""
        return [self.source, *(snapshot for _, snapshot in self.data)]


def scan(root: Path, patterns: Sequence[str], data: Sequence[Data], *, outputs: str = "outputs") -> Scanned:
    """Look at everything; read nothing. Data inside the project is not source. Raises Failure."""
    left_out = [(outputs, "built in: where outputs are fetched to")]
    left_out += [
        (one.path.relative_to(root).as_posix(), SENT_BY_ITSELF)
        for one in data
        if not one.one_file and one.path.is_relative_to(root)
    ]
    source = scan_project(root, patterns, left_out=left_out)
    return Scanned(source, [(one, scan_data(one.path)) for one in data if not one.one_file])


def pack(
    root: Path, scanned: Scanned, data: Sequence[Data], *, state: Hashing, tick: Callable[[], None]
) -> Packed:
    """Hash what is not known from before. Raises Failure."""
    source = take(root, scanned.source, progress=state, tick=tick)
    for one in data:
        if one.one_file:
            source = _with_file(source, one, tick)
    folders = [(one, take(one.path, found, progress=Hashing(), tick=tick)) for one, found in scanned.data]
    return Packed(source, folders)


def _with_file(source: Snapshot, data: Data, tick: Callable[[], None]) -> Snapshot:
    """The source and one more file, which may be ignored or lie elsewhere."""
    if any(entry.path == data.mount for entry in source.entries):
        return source
    entry = replace(take_file(data.path, tick), path=data.mount)
    entries = [*source.entries, entry]
    elsewhere = {**source.elsewhere, data.mount: data.path}
    return replace(
        source,
        entries=entries,
        digest=digest(encode(entries)),
        files=source.files + 1,
        size=source.size + entry.size,
        elsewhere=elsewhere,
    )


def take_file(path: Path, tick: Callable[[], None]) -> Entry:
    """One file as an entry."""
    now = path.stat()
    times = now.st_mtime_ns, now.st_ctime_ns
    found = Found(path.name, now.st_size, *times, now.st_ino, executable=bool(now.st_mode & stat.S_IXUSR))
    return hash_files(path.parent, [found], HashCache.of_folder(path), tick=tick)[0]
