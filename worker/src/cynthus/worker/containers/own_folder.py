"""The working folder of a foreign image, copied out of it: untrusted, like everything in an image."""

import io
import os
import posixpath
import shutil
import tarfile
from collections.abc import Iterator

from cynthus.containers.engine import Engine
from cynthus.containers.specification import ContainerSpec
from cynthus.worker.orders import OrderInvalid

MOST_BYTES = 20 * 1024**3
MOST_ENTRIES = 1_000_000
_LONGEST_PATH = 1024
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_out(engine: Engine, name: str, image: str, folder: str, target: str) -> None:
    """Fill `target` with what the image has at `folder`. Raises OrderInvalid, and what the engine raises."""
    container = engine.create(name, ContainerSpec(image, ["/"]))
    try:
        with engine.archive(container, folder) as stream:
            unpack(_Reader(stream.pieces()), target)
    finally:
        engine.remove(container)


def unpack(tar: io.RawIOBase, target: str, most_bytes: int = MOST_BYTES) -> None:
    """A tar whose one root folder becomes `target`. Links come last, so nothing is written through one."""
    links: list[tuple[str, str]] = []
    left, entries = most_bytes, 0
    try:
        with tarfile.open(fileobj=tar, mode="r|") as archive:
            for member in archive:
                entries += 1
                left -= member.size
                if left < 0 or entries > MOST_ENTRIES:
                    raise OrderInvalid("the image's working folder is larger than can be copied")
                path = _path(member.name)
                if path is None:
                    continue
                if member.issym():
                    links.append((path, member.linkname))
                else:
                    _write(archive, member, target, path)
    except (tarfile.TarError, FileExistsError, NotADirectoryError) as error:
        raise OrderInvalid(f"the image's working folder cannot be copied: {error}") from error
    for path, link in links:
        os.makedirs(posixpath.dirname(f"{target}/{path}"), exist_ok=True)
        os.symlink(link, f"{target}/{path}")


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: str, path: str) -> None:
    place = f"{target}/{path}"
    if member.isdir():
        os.makedirs(place, mode=0o755, exist_ok=True)
        return
    os.makedirs(posixpath.dirname(place), mode=0o755, exist_ok=True)
    if member.islnk():
        source = _path(member.linkname)
        if source is not None:
            os.link(f"{target}/{source}", place, follow_symlinks=False)
        return
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        return  # devices and FIFOs are nobody's business
    mode = 0o755 if member.mode & 0o111 else 0o644
    with os.fdopen(os.open(place, _NEW_FILE, mode), "wb") as file:
        shutil.copyfileobj(content, file, 1024 * 1024)


def _path(name: str) -> str | None:
    """Below the archive's root folder; None for the root itself."""
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in name or len(name) > _LONGEST_PATH:
        raise OrderInvalid(f"the image's working folder has a strange path: {name[:100]!r}")
    return "/".join(parts[1:]) or None


class _Reader(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        data, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return data
