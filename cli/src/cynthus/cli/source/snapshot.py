"""A folder as a snapshot: its entries, and the digest that names it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cynthus.cli.source.hash_cache import HashCache
from cynthus.cli.source.hashing import Hashing, hash_files
from cynthus.cli.source.tree import Scan
from cynthus.snapshots.manifest import CHUNK_BYTES, Entry, digest, encode


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a blob's bytes are: a file on this machine and a range in it."""

    path: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`root` is where its files are on this machine, but for those in `elsewhere`; `read` were read anew."""

    root: Path
    entries: list[Entry]
    digest: str
    files: int
    size: int
    read: int
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    def manifest(self) -> bytes:
        """The bytes that the digest names."""
        return b"".join(encode(self.entries))

    def pieces(self) -> Iterator[tuple[str, Piece]]:
        """(digest, place) of every chunk; equal content comes up more than once."""
        for entry in self.entries:
            path = str(self.elsewhere.get(entry.path) or f"{self.root}/{entry.path}")
            for number, chunk in enumerate(entry.chunks):
                start = number * CHUNK_BYTES
                yield chunk, Piece(path, start, min(CHUNK_BYTES, entry.size - start))


def take(
    root: Path, scan: Scan, *, progress: Hashing | None = None, tick: Callable[[], None] = lambda: None
) -> Snapshot:
    """The snapshot of a scan. Raises Failure for files that cannot be read or do not stop changing."""
    state = progress or Hashing()
    entries = hash_files(root, scan.files, HashCache.of_folder(root), progress=state, tick=tick)
    entries += [Entry(path, link=target) for path, target in scan.links.items()]
    entries += [Entry(path, folder=True) for path in scan.folders]
    size = sum(entry.size for entry in entries)
    return Snapshot(root, entries, digest(encode(entries)), len(scan.files), size, state.read)
