"""Debian packages as one image layer, laid onto a base without running anything."""

import gzip
import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, normpath
from typing import BinaryIO, cast

from cynthus.builder.adapters.base_system import STATUS, BaseSystem
from cynthus.builder.domain.debian import (
    Alternative,
    LinksLoop,
    alternatives,
    identity,
    installed,
    is_skipped,
    stanza,
    stanzas,
    through,
)
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.builder.packing.layer import PackedLayer

_PIECE = 1024 * 1024
_LEVEL = 3
_SET_ID = 0o6000
_LOADER_FOLDERS = re.compile(r"^\s*/?([A-Za-z0-9][\w./+-]*)\s*$", re.MULTILINE)
_LIBRARY = re.compile(r"[^/]+\.so\.[\w.]+")
_HARMLESS = re.compile(r"^\s*(?:#.*|set -e.*|exit 0|ldconfig.*|if \[.*\]; then|fi|esac|;;|)\s*$")


@dataclass(slots=True)
class _Laid:
    """The layer while it grows: what is in it, and what will follow."""

    base: BaseSystem
    links: dict[str, str]
    taken: set[str] = field(default_factory=set)
    found: list[Alternative] = field(default_factory=list)
    controls: list[dict[str, str]] = field(default_factory=list)
    records: dict[str, bytes] = field(default_factory=dict)
    loader: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    unrun: list[str] = field(default_factory=list)


class _Tar:
    """Tar entries that depend on their arguments only, packed and hashed both ways."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packed = gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0)
        self._plain = hashlib.sha256()

    def add(self, info: tarfile.TarInfo, content: BinaryIO | None = None) -> None:
        """One entry; `content` has exactly the size it says."""
        info.mtime, info.uname, info.gname = 0, "", ""
        info.pax_headers = {}
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if content is not None and info.isreg():
            while piece := content.read(_PIECE):
                self._write(piece)
            self._write(bytes(-info.size % tarfile.BLOCKSIZE))

    def end(self, path: Path) -> PackedLayer:
        """The layer, whose file is at `path`."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._packed.close()
        self._file.flush()
        size = self._file.tell()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return PackedLayer(path, f"sha256:{digest}", size, f"sha256:{self._plain.hexdigest()}", kind="system")

    def _write(self, data: bytes) -> None:
        self._packed.write(data)
        self._plain.update(data)


def lay(debs: Sequence[Path], base: BaseSystem, target: Path) -> tuple[PackedLayer, tuple[str, ...]]:
    """The layer of these packages in `target`, and notes. Manuals and translations stay out. Blocking.

    Raises BuildRefused.
    """
    laid = _Laid(base, dict(base.links))
    with target.open("wb") as file:
        tar = _Tar(file)
        try:
            for deb in debs:
                _package(deb, laid, tar)
        except (tarfile.TarError, LinksLoop, OSError, KeyError) as error:
            raise BuildRefused(
                "apt_package_damaged",
                f"A Debian package cannot be unpacked: {error}.",
                "Remove it under `apt`.",
            ) from error
        for path, link in _generic_links(laid):
            _put(tar, laid, _link(path, link))
        _records(tar, laid)
        return tar.end(target), _notes(laid)


def _package(deb: Path, laid: _Laid, tar: _Tar) -> None:
    scripts: dict[str, bytes] = {}
    with _archive(deb, "--ctrl-tarfile") as control:
        for member in control:
            source = control.extractfile(member) if member.isreg() else None
            if source is not None:
                scripts[member.name.removeprefix("./")] = source.read()
    fields = next(stanzas(scripts["control"].decode(errors="replace")))
    laid.controls.append(fields)
    listed = ["/."]
    with _archive(deb, "--fsys-tarfile") as files:
        for member in files:
            name = member.name.removeprefix("./").strip("/")
            if name and name != ".":
                listed.append(f"/{name}")
                _member(files, member, name, laid, tar)
    named = f"var/lib/dpkg/info/{identity(fields)}"
    laid.records[f"{named}.list"] = "\n".join([*listed, ""]).encode()
    if "md5sums" in scripts:
        laid.records[f"{named}.md5sums"] = scripts["md5sums"]
    script = scripts.get("postinst", b"").decode(errors="replace")
    found = list(alternatives(script))
    laid.found += found
    if not found and any(not _HARMLESS.match(line) for line in script.splitlines()):
        laid.unrun.append(fields["Package"])


def _member(files: tarfile.TarFile, member: tarfile.TarInfo, name: str, laid: _Laid, tar: _Tar) -> None:
    if is_skipped(name) or member.isdev():
        return
    path = through(name, laid.links)
    if member.isdir():
        path = _inside(name, laid)
        _folder(path, laid, tar, member)
        return
    _folder(dirname(path), laid, tar, None)
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.uid, info.gid = member.type, member.mode & 0o7777, member.uid, member.gid
    info.size, info.linkname = member.size, member.linkname
    if member.islnk():
        info.linkname = through(normpath(member.linkname.removeprefix("./")), laid.links)
        if info.linkname not in laid.taken:
            return
    if member.isreg() and info.mode & _SET_ID:
        laid.dropped.append(path)
        info.mode &= ~_SET_ID
    content = cast("BinaryIO", files.extractfile(member)) if member.isreg() else None
    if content is not None and name.startswith("etc/ld.so.conf.d/"):
        text = content.read()
        laid.loader += _LOADER_FOLDERS.findall(text.decode(errors="replace"))
        content = io.BytesIO(text)
    _put(tar, laid, info, content)


def _put(tar: _Tar, laid: _Laid, info: tarfile.TarInfo, content: BinaryIO | None = None) -> None:
    """Once only: engines refuse layers that have a path twice, and a folder of the base stays one."""
    path = info.name
    if path in laid.taken or (path in laid.base.folders and not info.isdir()):
        return
    laid.taken.add(path)
    if info.issym():
        laid.links[path] = info.linkname
    else:
        laid.links.pop(path, None)
    tar.add(info, content)


def _folder(path: str, laid: _Laid, tar: _Tar, member: tarfile.TarInfo | None) -> None:
    """A folder and those above it, where the base has none: an entry would change the base's mode."""
    if not path or path in laid.base.folders or path in laid.taken or path in laid.links:
        return
    _folder(dirname(path), laid, tar, None)
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    if member is not None:
        info.mode, info.uid, info.gid = member.mode & 0o7777, member.uid, member.gid
    _put(tar, laid, info)


def _inside(folder: str, laid: _Laid) -> str:
    """Where the files of a folder lie, itself being a link perhaps."""
    return dirname(through(f"{folder}/x", laid.links))


def _generic_links(laid: _Laid) -> Iterator[tuple[str, str]]:
    """What update-alternatives and ldconfig would have made; the highest priority wins."""
    best: dict[str, Alternative] = {}
    for one in laid.found:
        if one.name not in best or one.priority > best[one.name].priority:
            best[one.name] = one
    for name, one in sorted(best.items()):
        if f"etc/alternatives/{name}" not in laid.base.links:
            yield f"etc/alternatives/{name}", one.path
            yield through(one.link, laid.links), f"/etc/alternatives/{name}"
    for folder in sorted(set(laid.loader)):
        inside = _inside(folder, laid)
        for path in sorted(laid.taken):
            if dirname(path) == inside and _LIBRARY.fullmatch(path.rpartition("/")[2]):
                yield f"usr/lib/{path.rpartition('/')[2]}", f"/{path}"


def _records(tar: _Tar, laid: _Laid) -> None:
    """What dpkg knows, so that scanners and people see the packages."""
    new = {identity(fields): fields for fields in laid.controls}
    if laid.base.has_status_file:
        old = [fields for fields in stanzas(laid.base.status) if "Package" in fields]
        kept = [fields for fields in old if identity({"Architecture": "", **fields}) not in new]
        every = [*kept, *(installed(fields) for _, fields in sorted(new.items()))]
        laid.records[STATUS] = "".join(stanza(fields) for fields in every).encode()
    else:
        for fields in new.values():
            name = f"var/lib/dpkg/status.d/{fields['Package']}"
            laid.records[name] = stanza(installed(fields)).encode()
    for path, data in sorted(laid.records.items()):
        _folder(dirname(path), laid, tar, None)
        info = tarfile.TarInfo(path)
        info.size, info.mode = len(data), 0o644
        _put(tar, laid, info, io.BytesIO(data))


def _link(path: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, 0o777
    return info


def _notes(laid: _Laid) -> tuple[str, ...]:
    notes = []
    if laid.dropped:
        notes.append(f"set-user-ID bits are dropped: {_some(laid.dropped)}")
    if laid.unrun:
        notes.append(f"what these packages do after their installation was not done: {_some(laid.unrun)}")
    return tuple(notes)


def _some(names: Iterable[str], most: int = 8) -> str:
    listed = sorted(set(names))
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


@contextmanager
def _archive(deb: Path, part: str) -> Iterator[tarfile.TarFile]:
    with subprocess.Popen(
        ["dpkg-deb", part, str(deb)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar
        process.stdout.read()
        if process.wait() != 0:
            raise tarfile.ReadError(f"{deb.name} is damaged")
