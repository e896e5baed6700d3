"""What a base image has installed, read from its layers as they stream by."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, Self, cast

from cynthus.builder.domain.debian import Source, sources
from cynthus.builder.domain.image import Base, Layer
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.oci.ports import Registry

STATUS = "var/lib/dpkg/status"
_STATUS_FOLDER = "var/lib/dpkg/status.d/"
_LARGEST = 64 * 1024 * 1024
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class BaseSystem:
    """A Debian-like system: dpkg's status, its suites, and which of its paths are folders or links."""

    distribution: str
    codename: str
    status: str
    sources: tuple[Source, ...]
    folders: frozenset[str]
    links: dict[str, str]
    has_status_file: bool = True

    def encode(self) -> str:
        """As JSON."""
        return json.dumps({**asdict(self), "folders": sorted(self.folders)})

    @classmethod
    def decode(cls, text: str) -> Self:
        """What `encode` wrote."""
        read = json.loads(text)
        suites = tuple(Source(one["uri"], one["suite"], tuple(one["components"])) for one in read["sources"])
        return cls(**{**read, "sources": suites, "folders": frozenset(read["folders"])})


@dataclass(slots=True)
class _Tree:
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def read_base_system(registry: Registry, repository: str, layers: Sequence[Layer]) -> BaseSystem:
    """Raises BuildRefused for what is no Debian, and what the registry raises."""
    tree = _Tree()
    for layer in layers:
        with tarfile.open(fileobj=_opened(registry, repository, layer), mode="r|") as tar:
            for member in tar:
                _take(tar, member, tree)
    os_release = _os_release(tree)
    status = tree.files.get(STATUS)
    parts = [data for name, data in sorted(tree.files.items()) if name.startswith(_STATUS_FOLDER)]
    if status is None and not parts:
        raise BuildRefused(
            "base_without_apt",
            "The base image is no Debian or Ubuntu, so apt packages cannot be added to it.",
            "Use a base made of Debian, or a Dockerfile of your own.",
        )
    texts = [data.decode(errors="replace") for name, data in sorted(tree.files.items()) if "/apt/" in name]
    return BaseSystem(
        distribution=os_release.get("ID", "debian"),
        codename=os_release.get("VERSION_CODENAME", ""),
        status=b"\n".join([status or b"", *parts]).decode(errors="replace"),
        sources=tuple(one for text in texts for one in sources(text)),
        folders=frozenset(tree.folders),
        links=tree.links,
        has_status_file=status is not None,
    )


def kept_base_system(folder: Path, registry: Registry, base: Base) -> BaseSystem:
    """The same, read once per base digest."""
    file = folder / f"{base.digest.removeprefix('sha256:')}.json.gz"
    if file.exists():
        return BaseSystem.decode(gzip.decompress(file.read_bytes()).decode())
    system = read_base_system(registry, base.repository, base.layers)
    folder.mkdir(parents=True, exist_ok=True)
    written = file.with_suffix(".part")
    written.write_bytes(gzip.compress(system.encode().encode(), 1, mtime=0))
    written.replace(file)
    return system


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast("bytearray", buffer))
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return 0
        taken = self._rest[: len(view)]
        view[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def _opened(registry: Registry, repository: str, layer: Layer) -> BinaryIO:
    stream = io.BufferedReader(_Pieces(registry.read(repository, layer.digest)), 1024 * 1024)
    if layer.media_type.endswith("zstd"):
        raise BuildRefused(
            "base_unreadable",
            "The base image has zstd layers, which apt packages cannot be added to.",
            "Push the base with gzip layers, or use a Dockerfile of your own.",
        )
    return cast("BinaryIO", gzip.GzipFile(fileobj=stream) if layer.media_type.endswith("gzip") else stream)


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: _Tree) -> None:
    path = member.name.removeprefix("./").strip("/")
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        _forget(tree, folder, itself=False)
        return
    if name.startswith(_WHITEOUT):
        _forget(tree, f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"), itself=True)
        return
    if not path or path == ".":
        return
    if not member.isdir():
        tree.folders.discard(path)
    tree.links.pop(path, None)
    tree.files.pop(path, None)
    if member.isdir():
        tree.folders.add(path)
    elif member.issym():
        tree.links[path] = member.linkname
    elif member.isreg() and _wanted(path) and member.size <= _LARGEST:
        source = tar.extractfile(member)
        tree.files[path] = source.read() if source else b""


def _forget(tree: _Tree, path: str, *, itself: bool) -> None:
    inside = f"{path}/" if path else ""
    for known in (tree.folders, tree.links, tree.files):
        for one in [one for one in known if one.startswith(inside) or (itself and one == path)]:
            if isinstance(known, set):
                known.discard(one)
            else:
                known.pop(one, None)


def _wanted(path: str) -> bool:
    apt = path == "etc/apt/sources.list" or (
        path.startswith("etc/apt/sources.list.d/") and path.endswith((".list", ".sources"))
    )
    status = path == STATUS or (path.startswith(_STATUS_FOLDER) and not path.endswith(".md5sums"))
    return apt or status or path in {"etc/os-release", "usr/lib/os-release"}


def _os_release(tree: _Tree) -> dict[str, str]:
    text = tree.files.get("etc/os-release") or tree.files.get("usr/lib/os-release") or b""
    pairs = (line.partition("=") for line in text.decode(errors="replace").splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
