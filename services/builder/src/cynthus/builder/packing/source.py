"""The project's files as the last layer of an image."""

import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from cynthus.builder.packing import tar
from cynthus.builder.packing.deflate import STORED_END, pieces, stored_block
from cynthus.builder.packing.layer import PackedLayer, SourceRefused
from cynthus.builder.packing.members import LayerWriter, written
from cynthus.builder.packing.places import folders_of
from cynthus.snapshots.manifest import Entry

APP = "app"
OWNER = (1000, 1000)
LARGEST_BYTES = 50 * 1000 * 1000
"""A larger file stays out of the image and travels with the snapshot."""

UNCOMPRESSED_BYTES = 4 * 1024 * 1024
"""Less source than this is not compressed: that would take longer than sending it."""

_LEVEL = 1
_header = lru_cache(8192)(tar.file)
"""A project is packed again and again, and most of its files stay."""

_MOST_LINKS = 40
"""The kernel gives up where this many links follow each other."""


def source_layer(
    entries: Iterable[Entry],
    read: Callable[[Entry], Iterator[bytes]],
    target: Path,
    *,
    largest_bytes: int = LARGEST_BYTES,
) -> tuple[PackedLayer, tuple[str, ...]]:
    """The layer at `target`, and what was left out for its size. Blocking. Raises SourceRefused, OSError."""
    kept = _checked(entries)
    left_out = {path for path, entry in kept.items() if entry.link is None and entry.size > largest_bytes}
    links = {path: entry.link for path, entry in kept.items() if entry.link is not None}
    entering = kept.keys() - left_out - {path for path in links if not _stays_inside(path, links)}
    paths = sorted(entering | folders_of(set(kept)), key=str.encode)
    compressed = sum(kept[path].size for path in entering) >= UNCOMPRESSED_BYTES
    with written(target) as layer:
        _pack(_archive(paths, kept, read), layer, compressed=compressed)
        return layer.finish(target, "source"), tuple(sorted(left_out))


def with_outputs(entries: Sequence[Entry], path: str) -> Sequence[Entry]:
    """Also the folder for results: where no machine of ours makes it, the program finds it nevertheless."""
    path = posixpath.normpath(path)
    above = folders_of({path})
    kept = {entry.path: entry for entry in entries if entry.path == path or entry.path in above}
    if path in {".", *kept} or not all(entry.folder for entry in kept.values()):
        return entries
    return [*entries, Entry(path, folder=True)]


def _checked(entries: Iterable[Entry]) -> dict[str, Entry]:
    kept: dict[str, Entry] = {}
    for entry in entries:
        if "\0" in entry.path or not {"", ".", ".."}.isdisjoint(entry.path.split("/")):
            raise SourceRefused(entry.path, "is no path inside the project")
        if kept.setdefault(entry.path, entry) is not entry:
            raise SourceRefused(entry.path, "is there twice")
    for folder in folders_of(set(kept)):
        if folder in kept and not kept[folder].folder:
            raise SourceRefused(folder, "is both a folder and not")
    return kept


def _archive(
    paths: Iterable[str], kept: dict[str, Entry], read: Callable[[Entry], Iterator[bytes]]
) -> Iterator[bytes]:
    yield tar.folder(APP, owner=OWNER)
    for path in paths:
        place, entry = f"{APP}/{path}", kept.get(path)
        if entry is None or entry.folder:
            yield tar.folder(place, owner=OWNER)
        elif entry.link is not None:
            yield tar.link(place, entry.link, owner=OWNER)
        else:
            yield _header(place, entry.size, 0o755 if entry.executable else 0o644, owner=OWNER)
            yield from _content(entry, read)
            yield tar.padding(entry.size)


def _content(entry: Entry, read: Callable[[Entry], Iterator[bytes]]) -> Iterator[bytes]:
    size = 0
    for chunk in read(entry):
        size += len(chunk)
        if size > entry.size:
            break
        yield chunk
    if size != entry.size:
        raise SourceRefused(entry.path, f"has not the {entry.size} bytes it should have")


def _pack(archive: Iterator[bytes], layer: LayerWriter, *, compressed: bool) -> None:
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc, size = 0, 0
    layer.begin_stream()
    for piece in pieces(archive):
        layer.plain(piece)
        layer.stream(deflater.compress(piece) if compressed else stored_block(piece))
        crc, size = zlib.crc32(piece, crc), size + len(piece)
    layer.stream(deflater.flush() if compressed else STORED_END)
    layer.end_stream(crc, size)


def _stays_inside(path: str, links: dict[str, str]) -> bool:
    """Whether a link ends in the tree, also by way of other links."""
    left = [*reversed(links[path].split("/")), *reversed(posixpath.dirname(path).split("/"))]
    if links[path].startswith("/"):
        return False
    here: list[str] = []
    followed = 1
    while left:
        part = left.pop()
        if part in {"", "."}:
            continue
        if part == "..":
            if not here:
                return False
            here.pop()
            continue
        here.append(part)
        target = links.get("/".join(here))
        if target is not None:
            followed += 1
            if followed > _MOST_LINKS:
                return True
            if target.startswith("/"):
                return False
            here.pop()
            left.extend(reversed(target.split("/")))
    return True
