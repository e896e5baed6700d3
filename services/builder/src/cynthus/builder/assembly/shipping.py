"""Layers and images into the registry, with as few requests as can be."""

import asyncio
import io
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from cynthus.builder.domain.image import Document, Layer
from cynthus.builder.packing.layer import PackedLayer
from cynthus.builder.ports import Index
from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.manifest import Manifest, digest_of
from cynthus.oci.ports import BlobsUnknown, Registry

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_EMPTY = b"{}"
_HELD = "application/vnd.cynthus.layer.v1+json"


class LayersLost(Exception):
    """The registry has lost what was pushed before: `digests` are layers to be made again."""

    def __init__(self, digests: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(digests)))
        self.digests = digests


class Shipping:
    """Knows from the index what a repository has, and asks it only when that turns out wrong."""

    def __init__(self, registry: Registry, index: Index, *, at_once: int = 8) -> None:
        self._registry = registry
        self._index = index
        self._at_once = asyncio.Semaphore(at_once)

    async def new_layer(self, repository: str, packed: PackedLayer, *, held: bool = False) -> Layer:
        """Push a layer. With `held`, a manifest of its own keeps it from the registry's collector."""
        layer = Layer(
            packed.kind,
            packed.digest,
            packed.diff_id,
            packed.size,
            packed.media_type,
            packed.package,
            repository,
        )
        if await self._call(self._registry.stat, repository, packed.digest) is None:
            await self._call(
                self._registry.write, repository, packed.digest, packed.size, lambda: packed.path.open("rb")
            )
        await self._index.place(repository, [packed.digest])
        if held:
            await self._hold(repository, layer)
        return layer

    async def source_layer(self, repository: str, packed: PackedLayer) -> Layer:
        """Push a layer that nobody else can have pushed."""
        if packed.digest not in await self._index.placed(repository, [packed.digest]):
            await self._call(
                self._registry.write, repository, packed.digest, packed.size, lambda: packed.path.open("rb")
            )
        return Layer(packed.kind, packed.digest, packed.diff_id, packed.size, packed.media_type)

    async def place(self, repository: str, layers: Sequence[Layer]) -> None:
        """Make layers of other repositories part of this one. Raises LayersLost."""
        placed = await self._index.placed(repository, [layer.digest for layer in layers])
        missing = [layer for layer in layers if layer.digest not in placed]
        if not missing:
            return
        found = await asyncio.gather(*(self._mount(repository, layer) for layer in missing))
        if lost := frozenset(layer.digest for layer, there in zip(missing, found, strict=True) if not there):
            raise LayersLost(lost)
        await self._index.place(repository, [layer.digest for layer in missing])

    async def image(
        self,
        repository: str,
        document: Document,
        *,
        tag: str | None = None,
        source: PackedLayer | None = None,
    ) -> None:
        """Push an image's configuration and manifest, and its source layer beside.

        Raises LayersLost when the repository lacks what it was believed to have, and forgets that belief.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.blob(repository, document.config))
            if source is not None:
                group.create_task(self.source_layer(repository, source))
        write = self._registry.write_manifest
        try:
            await self._call(write, repository, document.manifest, MediaType.MANIFEST, tag=tag)
        except BlobsUnknown as error:
            await self._index.displace_all(repository)
            raise LayersLost(frozenset()) from error
        known = [document.digest, document.config_digest, *([source.digest] if source else [])]
        await self._index.place(repository, known)

    async def attach(
        self, repository: str, subject: str, subject_size: int, artifact_type: str, body: bytes
    ) -> str:
        """Push a document that refers to an image; the digest of its manifest."""
        await self.blob(repository, body)
        await self.blob(repository, _EMPTY)
        size = subject_size or await self._manifest_size(repository, subject)
        manifest = Manifest(
            config=Descriptor(MediaType.EMPTY, digest_of(_EMPTY), len(_EMPTY)),
            layers=(Descriptor(artifact_type, digest_of(body), len(body)),),
            subject=Descriptor(MediaType.MANIFEST, subject, size),
            artifact_type=artifact_type,
        ).encode()
        return await self._call(self._registry.write_manifest, repository, manifest, MediaType.MANIFEST)

    async def blob(self, repository: str, body: bytes) -> None:
        """Push a small blob, unless it is known to be there."""
        digest = digest_of(body)
        if digest not in await self._index.placed(repository, [digest]):
            await self._call(self._registry.write, repository, digest, len(body), lambda: io.BytesIO(body))

    async def has(self, repository: str, digest: str) -> bool:
        """Whether the repository is known to have this."""
        return digest in await self._index.placed(repository, [digest])

    async def _mount(self, repository: str, layer: Layer) -> bool:
        if layer.repository == repository or layer.repository is None:
            return await self._call(self._registry.stat, repository, layer.digest) is not None
        return await self._call(self._registry.mount, repository, layer.digest, layer.repository)

    async def _manifest_size(self, repository: str, digest: str) -> int:
        return len((await self._call(self._registry.manifest, repository, digest)).body)

    async def _hold(self, repository: str, layer: Layer) -> None:
        await self.blob(repository, _EMPTY)
        body = Manifest(
            config=Descriptor(MediaType.EMPTY, digest_of(_EMPTY), len(_EMPTY)),
            layers=(layer.descriptor(),),
            artifact_type=_HELD,
        ).encode()
        write = self._registry.write_manifest
        await self._call(write, repository, body, MediaType.MANIFEST, tag=holding_tag(layer))

    async def _call(
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        async with self._at_once:
            return await asyncio.to_thread(function, *arguments, **named)


def holding_tag(layer: Layer) -> str:
    """The tag of the manifest that keeps a shared layer."""
    return "layer-" + layer.digest.removeprefix("sha256:")
