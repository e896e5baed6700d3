"""The files of a Dockerfile build, laid out in a private folder, and as a tar."""

import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from cynthus.builder.domain.dockerignore import excluded
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.snapshots.manifest import Entry

_PIECE = 1024 * 1024
Read = Callable[[Entry], Iterable[bytes]]


def chosen(entries: Sequence[Entry], dockerfile: str, read: Read) -> list[Entry]:
    """What is part of the context: all that `<Dockerfile>.dockerignore`, else .dockerignore, leaves in."""
    files = {entry.path: entry for entry in entries if entry.link is None and not entry.folder}
    rules = files.get(f"{dockerfile}.dockerignore") or files.get(".dockerignore")
    if rules is None:
        return list(entries)
    leaves_out = excluded(b"".join(read(rules)).decode(errors="replace"))
    return [entry for entry in entries if not leaves_out(entry.path)]


def lay_out(entries: Sequence[Entry], read: Read, folder: Path) -> None:
    """Write the entries, links last: nothing is ever written through one. Raises BuildRefused."""
    solid = {entry.path for entry in entries if not entry.folder}
    for entry in entries:
        parts = entry.path.split("/")
        if any("/".join(parts[:count]) in solid for count in range(1, len(parts))):
            raise BuildRefused(
                "source_damaged", f"{entry.path!r} lies in something that is no folder.", "Submit it again."
            )
    for entry in sorted(entries, key=lambda entry: entry.link is not None):
        place = folder / entry.path
        (place if entry.folder else place.parent).mkdir(mode=0o755, parents=True, exist_ok=True)
        if entry.link is not None:
            place.symlink_to(entry.link)
        elif not entry.folder:
            _write(place, read(entry), executable=entry.executable)


def packed(folder: Path, extra: dict[str, bytes]) -> Iterator[bytes]:
    """The folder as a tar, sorted, times 0, owned by root; `extra` replaces or adds files."""
    for name, data in sorted(extra.items()):
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o644
        yield info.tobuf() + data + _padding(len(data))
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in extra:
            yield from _member(path, name)
    yield b"\0" * 1024


def _member(path: Path, name: str) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    if path.is_symlink():
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        yield info.tobuf(tarfile.PAX_FORMAT)
    elif path.is_dir():
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        yield info.tobuf(tarfile.PAX_FORMAT)
    else:
        stat = path.stat()
        info.size, info.mode = stat.st_size, stat.st_mode & 0o777
        yield info.tobuf(tarfile.PAX_FORMAT)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
        yield _padding(info.size)


def _write(place: Path, pieces: Iterable[bytes], *, executable: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(place, flags, 0o600), "wb") as file:  # noqa: PTH123 - of a descriptor
        file.writelines(pieces)
        os.fchmod(file.fileno(), 0o755 if executable else 0o644)
    os.utime(place, (0, 0))


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)
