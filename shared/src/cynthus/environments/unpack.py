"""A layer as files in a fresh folder, whatever its bytes try."""

import os
import posixpath
import re
import stat
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple, Self

from cynthus.environments.members import Member, members, parts_of
from cynthus.environments.refusal import DEFAULT_LIMITS, LayerRefused, Limits
from cynthus.environments.stream import LayerStream

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAY_LEAVE = re.compile(r"opt/venv/bin/python[0-9.]*")
_WHITEOUT = ".wh."
_MOST_TARGET_BYTES = 4095


class Unpacked(NamedTuple):
    """What came out; `bytes` of all files."""

    diff_id: str
    entries: int
    bytes: int


def unpack(
    pieces: Iterable[bytes] | BinaryIO,
    folder: str,
    *,
    limits: Limits = DEFAULT_LIMITS,
    diff_id: str | None = None,
) -> Unpacked:
    """Unpack a layer (tar, or gzip of it) into an empty folder of ours; files become 0444 or 0555.

    Raises LayerRefused, also when the whole is not `diff_id`; what was unpacked by then is to be removed.
    """
    stream = LayerStream(pieces, limits.bytes)
    entries = size = 0
    with _Folder(folder) as target:
        for member in members(stream, limits):
            target.add(member, stream, limits)
            entries += 1
            size += member.size
    stream.drain()
    if diff_id not in {None, stream.diff_id}:
        raise LayerRefused(f"the layer's content is {stream.diff_id}, not {diff_id}")
    return Unpacked(stream.diff_id, entries, size)


class _Folder:
    """Every folder on the way is opened without following a link: nothing is written through one."""

    def __init__(self, root: str) -> None:
        self._root = os.open(root, _FOLDER)
        self._open: tuple[tuple[str, ...], int] = ((), os.dup(self._root))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._open[1])
        os.close(self._root)

    def add(self, member: Member, stream: LayerStream, limits: Limits) -> None:
        if not member.parts:
            if member.kind != "folder":
                raise LayerRefused(f"a {member.kind} without a name")
            return
        *above, name = member.parts
        if name.startswith(_WHITEOUT):
            raise LayerRefused(f"{member.path!r} removes a file of another layer; these layers only add")
        parent = self._parent(tuple(above), member)
        if member.kind == "folder":
            _make_folder(parent, name)
            return
        _clear(parent, name, member)
        if member.kind == "file":
            _write(parent, name, member, stream)
        elif member.kind == "link":
            os.symlink(_link_target(member), name, dir_fd=parent)
        else:
            self._hard_link(parent, name, member, limits)

    def _parent(self, above: tuple[str, ...], member: Member) -> int:
        if above == self._open[0]:
            return self._open[1]
        try:
            descriptor = self._walk(above, make=True)
        except NotADirectoryError as error:
            raise LayerRefused(f"{member.path!r} is inside a file or behind a link") from error
        os.close(self._open[1])
        self._open = (above, descriptor)
        return descriptor

    def _walk(self, above: tuple[str, ...], *, make: bool) -> int:
        descriptor = os.dup(self._root)
        for part in above:
            try:
                below = _open_folder(part, descriptor, make=make)
            finally:
                os.close(descriptor)
            descriptor = below
        return descriptor

    def _hard_link(self, parent: int, name: str, member: Member, limits: Limits) -> None:
        *above, source = parts_of(member.target, limits) or ("",)
        try:
            folder = self._walk(tuple(above), make=False)
        except (NotADirectoryError, FileNotFoundError) as error:
            raise LayerRefused(f"{member.path!r} is a hard link to nothing in the layer") from error
        try:
            if not stat.S_ISREG(os.stat(source, dir_fd=folder, follow_symlinks=False).st_mode):
                raise LayerRefused(f"{member.path!r} is a hard link to something that is no file")
            os.link(source, name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError as error:
            raise LayerRefused(f"{member.path!r} is a hard link to nothing in the layer") from error
        finally:
            os.close(folder)


def _open_folder(name: str, parent: int, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def _make_folder(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o755, dir_fd=parent)


def _clear(parent: int, name: str, member: Member) -> None:
    """The last entry of a name wins; a folder with something in it stays."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    try:
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    except OSError as error:
        raise LayerRefused(f"{member.path!r} is a folder and a {member.kind}") from error


def _write(parent: int, name: str, member: Member, stream: LayerStream) -> None:
    mode = 0o555 if member.executable else 0o444
    descriptor = os.open(name, _NEW_FILE, mode, dir_fd=parent)
    try:
        for part in stream.parts(member.size):
            written = 0
            while written < len(part):
                written += os.write(descriptor, part[written:])
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _link_target(member: Member) -> str:
    """A link is never followed here; one that leaves is kept only where composing replaces it."""
    target = member.target
    if not target or "\0" in target or len(os.fsencode(target)) > _MOST_TARGET_BYTES:
        raise LayerRefused(f"{member.path!r} is a link to nothing")
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(member.path), target))
    leaves = target.startswith("/") or inside == ".." or inside.startswith("../")
    if leaves and not _MAY_LEAVE.fullmatch(member.path):
        raise LayerRefused(f"{member.path!r} is a link that leaves the layer")
    return target
