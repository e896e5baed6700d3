"""Digests of files that have not changed since, so that a second run reads nothing.

One text file per folder: a line holds size, mtime, ctime and inode, then the digests, then the path.
"""

import hashlib
import os
from pathlib import Path

from cynthus.cli import folders
from cynthus.cli.source.tree import Found

_HEAD = "cynthus hashes 1"
_FINE_NS = 100_000_000
_COARSE_NS = 2_100_000_000


class HashCache:
    """Loaded whole, saved whole: 100,000 files are about 15 MB of text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[str, str]] = {}
        self._fresh: dict[str, tuple[str, str]] = {}
        self._load()

    @classmethod
    def of_folder(cls, root: Path) -> "HashCache":
        """The cache for one folder of this machine."""
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        return cls(folders.cache() / "hashes" / name)

    def get(self, file: Found) -> tuple[str, ...] | None:
        """The digests of a file's chunks, if it is the very file that was hashed."""
        kept = self._known.get(file.path)
        if kept is None or kept[0] != _mark(file):
            return None
        self._fresh[file.path] = kept
        return tuple(kept[1].split(",")) if kept[1] != "-" else ()

    def put(self, file: Found, chunks: tuple[str, ...], hashed_at_ns: int) -> None:
        """Keep digests, unless the file is so young that a change would not show in its time."""
        coarse = file.mtime_ns % 1_000_000_000 == 0
        if hashed_at_ns - max(file.mtime_ns, file.ctime_ns) > (_COARSE_NS if coarse else _FINE_NS):
            self._fresh[file.path] = (_mark(file), ",".join(chunks) or "-")

    def save(self) -> None:
        """Write what was used in this run, when it is not what was there; never fails a command."""
        if self._fresh == self._known:
            return
        partial = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                file.write(_HEAD + "\n")
                for path, (mark, chunks) in self._fresh.items():
                    if "\n" not in path:
                        file.write(f"{mark} {chunks} {path}\n")
            partial.replace(self._path)
        except OSError:
            partial.unlink(missing_ok=True)

    def _load(self) -> None:
        try:
            head, _, rest = self._path.read_bytes().decode().partition("\n")
        except (OSError, UnicodeDecodeError):
            return
        if head != _HEAD:
            return
        for line in rest.split("\n"):
            mark, _, tail = line.partition(" ")
            chunks, _, path = tail.partition(" ")
            if path:
                self._known[path] = (mark, chunks)


def _mark(file: Found) -> str:
    return f"{file.size}:{file.mtime_ns}:{file.ctime_ns}:{file.inode}"
