"""Beside the builds: documents are put next to their images, and images that nobody uses are removed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from cynthus.builder.assembly.documents import described
from cynthus.builder.assembly.shipping import Shipping, holding_tag
from cynthus.builder.domain.bill_of_materials import BILL_TYPE, PROVENANCE_TYPE
from cynthus.builder.domain.image import Layer
from cynthus.builder.ports import Collectable, ImageRecord, Records
from cynthus.oci.descriptor import NotAnImage
from cynthus.oci.ports import (
    BlobsUnknown,
    ContentDamaged,
    ContentUnknown,
    Registry,
    RegistryDenied,
    RegistryUnavailable,
    StorageFull,
)
from cynthus.store.ports import StoreUnavailable

log = structlog.get_logger()

_TROUBLES = (
    BlobsUnknown,
    ContentDamaged,
    ContentUnknown,
    NotAnImage,
    OSError,
    RegistryDenied,
    RegistryUnavailable,
    StorageFull,
)

_LOOK_S = 5.0
_COLLECT_EVERY = 720
_CLEANING_S = 60.0
_LONGEST_BUILD = timedelta(hours=2)
"""Whatever is younger may be part of a build that is not done."""
_DOCUMENTS: tuple[tuple[str, str], ...] = (("sbom", BILL_TYPE), ("provenance", PROVENANCE_TYPE))


class Collector:
    """One loop for the work that no run waits for. Safe to be killed anywhere and in several processes."""

    def __init__(
        self,
        registry: Registry,
        shipping: Shipping,
        records: Records,
        images: Collectable,
        *,
        unused: timedelta,
        sweep: Callable[[], object] | None = None,
        clean: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._registry = registry
        self._shipping = shipping
        self._records = records
        self._images = images
        self._unused = max(unused, _LONGEST_BUILD)
        self._sweep = sweep
        self._clean = clean

    async def run(self) -> None:
        """Until cancelled."""
        turn = 0
        await self.clean()
        while True:
            with suppress(StoreUnavailable):
                await self.attach()
                if turn % _COLLECT_EVERY == 0:
                    await self.collect()
            turn += 1
            await asyncio.sleep(_LOOK_S)

    async def clean(self) -> None:
        """Once, as the service starts: what an earlier life of it left in container engines."""
        if self._clean is None:
            return
        try:
            async with asyncio.timeout(_CLEANING_S):
                await self._clean()
        except Exception as error:  # noqa: BLE001 - whatever an engine says, no build waits for it
            log.info("cleaning put off", reason=type(error).__name__)

    async def attach(self) -> int:
        """Push the documents of new images; how many images got theirs."""
        done = 0
        for record in await self._records.unattached():
            try:
                await self._attach(record)
            except _TROUBLES as error:
                log.info("documents put off", image=record.entry.digest, reason=type(error).__name__)
                continue
            await self._records.attached(record.owner, record.entry.digest)
            done += 1
        return done

    async def collect(self) -> int:
        """Remove images that no run used for long, and then layers that no image has; how many images."""
        removed = layers = 0
        try:
            removed = await self._images.collect(self._unused, self.remove)
            layers = await self._images.collect_layers(self._unused, self.release)
            if self._sweep is not None:
                await asyncio.to_thread(self._sweep)
        except _TROUBLES as error:
            log.info("collection put off", reason=type(error).__name__)
        if removed or layers:
            log.info("images removed", count=removed, layers=layers)
        return removed

    async def remove(self, repository: str, digests: Sequence[str]) -> None:
        """Manifests, and what refers to them."""
        for digest in digests:
            for referrer in await asyncio.to_thread(self._registry.referrers, repository, digest):
                await asyncio.to_thread(self._registry.remove_manifest, repository, referrer.digest)
            await asyncio.to_thread(self._registry.remove_manifest, repository, digest)

    async def release(self, layer: Layer) -> Sequence[str]:
        """The manifest that holds a shared layer, if there is one."""
        if layer.repository is None:
            return ()
        try:
            held = await asyncio.to_thread(self._registry.manifest, layer.repository, holding_tag(layer))
        except ContentUnknown:
            return ()
        await asyncio.to_thread(self._registry.remove_manifest, layer.repository, held.digest)
        return (held.digest,)

    async def _attach(self, record: ImageRecord) -> None:
        entry = record.entry
        for kind, media_type in _DOCUMENTS:
            body = described(record, "sbom" if kind == "sbom" else "provenance")
            await self._shipping.attach(
                entry.repository, entry.digest, record.manifest_size, media_type, body
            )
