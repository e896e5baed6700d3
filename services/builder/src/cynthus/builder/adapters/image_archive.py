"""A docker-archive, as engines export images, streamed into a registry as an OCI image of fixed form."""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import join, normpath
from typing import Any, BinaryIO, cast

from cynthus.builder.adapters.image_contents import LayerContents, components_of, contents_of
from cynthus.builder.domain.bill_of_materials import Component
from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.manifest import Config, Manifest, Note, digest_of
from cynthus.oci.ports import Registry

_PIECE = 1024 * 1024
_SMALL = 4 * 1024 * 1024
_LEVEL = 4
_GZIP = b"\x1f\x8b"
_EXECUTION = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "Healthcheck", "Shell", "OnBuild",
)  # fmt: skip


class ImageTooLarge(Exception):
    """The layers are larger than allowed."""


class ArchiveDamaged(Exception):
    """This is no docker-archive, or not all of one."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image in the registry; `size` is the bytes of its layers as they are stored."""

    digest: str
    size: int
    config: Config
    layers: tuple[Descriptor, ...] = ()
    components: tuple[Component, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A layer that exists already, in a repository of the same registry."""

    layer: Descriptor
    repository: str


@dataclass(slots=True)
class _Read:
    """An archive read so far: layers by name, small files by name, links by name."""

    layers: dict[str, tuple[str, Descriptor]]
    small: dict[str, bytes]
    links: dict[str, str]
    contents: dict[str, LayerContents] = field(default_factory=dict)
    bytes: int = 0


class ArchiveStore:
    """Puts archives into one repository. `known` finds a layer by its diff_id, `made` is told of new ones."""

    def __init__(
        self,
        target: Registry,
        repository: str,
        folder: Path,
        *,
        known: Callable[[str], Known | None],
        made: Callable[[str, Known], None],
    ) -> None:
        self._target = target
        self._repository = repository
        self._folder = folder
        self._known = known
        self._made = made

    def store(self, archive: BinaryIO, most_bytes: int, annotations: Mapping[str, str], label: str) -> Stored:
        """Raises ImageTooLarge, ArchiveDamaged, and what the registry raises; `label` is left out."""
        read = _Read({}, {}, {})
        try:
            with tarfile.open(fileobj=archive, mode="r|") as tar:
                for member in tar:
                    self._take(tar, member, read, most_bytes)
            return self._finish(read, annotations, label)
        except (tarfile.TarError, zlib.error, KeyError, ValueError, IndexError, TypeError) as error:
            raise ArchiveDamaged(f"{type(error).__name__}: {error}") from error

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo, read: _Read, most_bytes: int) -> None:
        name = normpath(member.name)
        if member.issym() or member.islnk():
            folder = name.rpartition("/")[0] if member.issym() else ""
            read.links[name] = normpath(join(folder, member.linkname))
        if not member.isreg() or (source := tar.extractfile(member)) is None:
            return
        head = source.read(tarfile.BLOCKSIZE)
        if _is_tar(head) or head.startswith(_GZIP):
            whole = _pieces(head, cast("BinaryIO", source))
            pieces = _unpacked(whole) if head.startswith(_GZIP) else whole
            read.layers[name] = self._layer(pieces, read, most_bytes)
        elif member.size <= _SMALL:
            read.small[name] = head + source.read()
        else:
            raise ArchiveDamaged(f"{name} is no layer and has {member.size} bytes")

    def _layer(self, pieces: Iterator[bytes], read: _Read, most_bytes: int) -> tuple[str, Descriptor]:
        """Store an uncompressed layer, unless it is known; its diff_id and descriptor."""
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            hasher = hashlib.sha256()
            for piece in pieces:
                read.bytes += len(piece)
                if read.bytes > most_bytes:
                    raise ImageTooLarge
                hasher.update(piece)
                spool.write(piece)
            diff_id = f"sha256:{hasher.hexdigest()}"
            spool.seek(0)
            read.contents[diff_id] = contents_of(cast("BinaryIO", spool))
            if (there := self._there(diff_id)) is not None:
                return diff_id, there
            spool.seek(0)
            return diff_id, self._compressed(cast("BinaryIO", spool), diff_id)

    def _compressed(self, source: BinaryIO, diff_id: str) -> Descriptor:
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="layer-") as packed:
            digest, size = _compress(source, cast("BinaryIO", packed))
            path = Path(packed.name)
            if self._target.stat(self._repository, digest) is None:
                self._target.write(self._repository, digest, size, lambda: path.open("rb"))
        notes = {Note.DIFF_ID: diff_id, Note.LAYER: "dockerfile"}
        layer = Descriptor(MediaType.LAYER_GZIP, digest, size, notes)
        self._made(diff_id, Known(layer, self._repository))
        return layer

    def _there(self, diff_id: str) -> Descriptor | None:
        known = self._known(diff_id)
        if known is None:
            return None
        digest = known.layer.digest
        if self._target.stat(self._repository, digest) is None and not self._target.mount(
            self._repository, digest, known.repository
        ):
            return None
        return replace(
            known.layer, annotations={Note.LAYER: "base", **known.layer.annotations, Note.DIFF_ID: diff_id}
        )

    def _finish(self, read: _Read, annotations: Mapping[str, str], label: str) -> Stored:
        listed = json.loads(read.small["manifest.json"])[0]
        document = json.loads(read.small[_resolved(normpath(listed["Config"]), read.links)])
        layers = [read.layers[_resolved(normpath(name), read.links)] for name in listed["Layers"]]
        config = _config(document, tuple(diff_id for diff_id, _ in layers), label)
        body = config.encode()
        described = Descriptor(MediaType.CONFIG, digest_of(body), len(body))
        self._target.write(self._repository, described.digest, len(body), lambda: io.BytesIO(body))
        manifest = Manifest(described, tuple(layer for _, layer in layers), annotations)
        encoded = manifest.encode()
        tag = digest_of(encoded).removeprefix("sha256:")[:16]  # some registries remove what has none
        digest = self._target.write_manifest(self._repository, encoded, MediaType.MANIFEST, tag=tag)
        stored = tuple(layer for _, layer in layers)
        components = components_of(read.contents[diff_id] for diff_id, _ in layers)
        return Stored(digest, sum(layer.size for layer in stored), config, stored, components)


def _config(document: dict[str, Any], diff_ids: tuple[str, ...], label: str) -> Config:
    """The configuration without what differs from build to build."""
    if tuple(document["rootfs"]["diff_ids"]) != diff_ids:
        raise ArchiveDamaged("the layers are not those of the configuration")
    given = document.get("config") or {}
    execution = {name: given[name] for name in _EXECUTION if given.get(name)}
    labels = {name: value for name, value in execution.pop("Labels", {}).items() if name != label}
    if labels:
        execution = (
            {**execution, "Labels": labels}
            if labels
            else {k: v for k, v in execution.items() if k != "Labels"}
        )
    history = [
        {name: step[name] for name in ("created_by", "comment", "author", "empty_layer") if step.get(name)}
        for step in document.get("history") or []
        if label not in str(step.get("created_by"))
    ]
    unsaid = len(diff_ids) - sum(not step.get("empty_layer") for step in history)
    return Config(
        architecture=document["architecture"],
        os=document["os"],
        diff_ids=diff_ids,
        execution=execution,
        history=(*[{"created_by": "base"}] * max(unsaid, 0), *history),
        variant=document.get("variant") or None,
    )


def _resolved(name: str, links: Mapping[str, str]) -> str:
    for _ in range(10):
        if name not in links:
            return name
        name = links[name]
    raise ArchiveDamaged(f"{name} is a chain of links")


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or head == b"\0" * tarfile.BLOCKSIZE


def _pieces(head: bytes, source: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := source.read(_PIECE):
        yield piece


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(wbits=31)
    for piece in pieces:
        waiting = piece
        while waiting:
            yield inflate.decompress(waiting, _PIECE)
            waiting = inflate.unconsumed_tail or inflate.unused_data
            if inflate.eof:
                inflate = zlib.decompressobj(wbits=31)


def _compress(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=target, mtime=0) as packed:
        shutil.copyfileobj(source, packed, _PIECE)
    target.flush()
    target.seek(0)
    hasher, size = hashlib.sha256(), 0
    while piece := target.read(_PIECE):
        hasher.update(piece)
        size += len(piece)
    return f"sha256:{hasher.hexdigest()}", size
