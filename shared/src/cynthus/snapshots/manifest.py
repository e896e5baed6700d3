"""A snapshot's manifest: one JSON line per entry, sorted by path, so that equal trees have equal digests.

Standard library only: the command line and the worker start fast.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FORMAT = "cynthus.snapshot.v1"
CHUNK_BYTES = 64 * 1024 * 1024
"""A file larger than this is several blobs, so that a cut upload resumes and memory stays bounded."""

_HEADER = json.dumps({"format": FORMAT}, separators=(",", ":")).encode() + b"\n"
_HEX = re.compile(r"[0-9a-f]{64}")
_FORBIDDEN_PARTS = {"", ".", ".."}
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


class ManifestInvalid(ValueError):
    """These bytes are no manifest, or one that names paths outside its tree."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (`chunks`: SHA-256 in hex of each CHUNK_BYTES piece), a symlink (`link`) or an empty folder."""

    path: str
    size: int = 0
    executable: bool = False
    chunks: tuple[str, ...] = ()
    link: str | None = None
    folder: bool = False

    def encode(self) -> bytes:
        """One canonical line."""
        fields: dict[str, object] = {"path": self.path}
        if self.link is not None:
            fields["link"] = self.link
        elif self.folder:
            fields["folder"] = True
        else:
            fields |= {"size": self.size, "chunks": list(self.chunks)}
            if self.executable:
                fields["executable"] = True
        return _canonical(fields).encode() + b"\n"


def encode(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The manifest's lines; entries are sorted here."""
    yield _HEADER
    for entry in sorted(entries, key=lambda entry: entry.path.encode("utf-8", "surrogateescape")):
        yield entry.encode()


def digest(lines: Iterable[bytes]) -> str:
    """The snapshot's name: `sha256:` and the hex digest of its manifest."""
    hasher = hashlib.sha256()
    for line in lines:
        hasher.update(line)
    return f"sha256:{hasher.hexdigest()}"


def decode(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Entries of a manifest, checked: order, paths inside the tree, digests and sizes well formed."""
    iterator = iter(lines)
    if next(iterator, b"") != _HEADER:
        raise ManifestInvalid(f"the first line is not {_HEADER.decode().strip()}")
    previous = b""
    for number, line in enumerate(iterator, start=2):
        entry = _entry(line, number)
        key = entry.path.encode()
        if key <= previous:
            raise ManifestInvalid(f"line {number}: {entry.path!r} is out of order or repeated")
        previous = key
        yield entry


def _entry(line: bytes, number: int) -> Entry:
    try:
        fields = json.loads(line)
        entry = Entry(
            path=fields["path"],
            size=fields.get("size", 0),
            executable=fields.get("executable", False),
            chunks=tuple(fields.get("chunks", ())),
            link=fields.get("link"),
            folder=fields.get("folder", False),
        )
        valid = entry.encode() == line and _well_formed(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestInvalid(f"line {number}: {type(error).__name__}") from error
    if not valid:
        raise ManifestInvalid(f"line {number}: not a canonical entry")
    return entry


def _well_formed(entry: Entry) -> bool:
    safe = not _FORBIDDEN_PARTS.intersection(entry.path.split("/")) and "\0" not in entry.path
    if entry.link is not None:
        return safe and "\0" not in entry.link
    pieces = -(-entry.size // CHUNK_BYTES)
    hexadecimal = all(_HEX.fullmatch(chunk) for chunk in entry.chunks)
    return (
        safe and type(entry.size) is int and entry.size >= 0 and len(entry.chunks) == pieces and hexadecimal
    )
