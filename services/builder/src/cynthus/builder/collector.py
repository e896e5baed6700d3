"""Beside the builds: documents are put next to their images, and images that nobody uses are removed."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from cynthus.builder.assembly.documents import described
from cynthus.builder.assembly.shipping import Shipping
from cynthus.builder.domain.bill_of_materials import BILL_TYPE, PROVENANCE_TYPE
from cynthus.builder.ports import Collectable, ImageRecord, Index, Records
from cynthus.oci.ports import ContentUnknown, Registry, RegistryDenied, RegistryUnavailable
from cynthus.store.ports import StoreUnavailable

log = structlog.get_logger()

_LOOK_S = 5.0
_COLLECT_EVERY = 720
_DOCUMENTS: tuple[tuple[str, str], ...] = (("sbom", BILL_TYPE), ("provenance", PROVENANCE_TYPE))


class Collector:
    """One loop for the work that no run waits for. Safe to be killed anywhere and in several processes."""

    def __init__(
        self,
        registry: Registry,
        shipping: Shipping,
        index: Index,
        records: Records,
        images: Collectable,
        *,
        unused: timedelta,
        sweep: Callable[[], None] | None = None,
    ) -> None:
        self._registry = registry
        self._shipping = shipping
        self._index = index
        self._records = records
        self._images = images
        self._unused = unused
        self._sweep = sweep

    async def run(self) -> None:
        """Until cancelled."""
        turn = 0
        while True:
            with suppress(StoreUnavailable):
                await self.attach()
                if turn % _COLLECT_EVERY == 0:
                    await self.collect()
            turn += 1
            await asyncio.sleep(_LOOK_S)

    async def attach(self) -> int:
        """Push the documents of new images; how many images got theirs."""
        done = 0
        for record in await self._records.unattached():
            try:
                await self._attach(record)
            except (RegistryUnavailable, RegistryDenied, ContentUnknown) as error:
                log.info("documents put off", image=record.entry.digest, reason=type(error).__name__)
                continue
            await self._records.attached(record.owner, record.entry.digest)
            done += 1
        return done

    async def collect(self) -> int:
        """Remove images that no run used for long; how many."""
        try:
            removed = await self._images.collect(self._unused, self._remove)
            if self._sweep is not None:
                await asyncio.to_thread(self._sweep)
        except (RegistryUnavailable, RegistryDenied, OSError) as error:
            log.info("collection put off", reason=type(error).__name__)
            return 0
        if removed:
            log.info("images removed", count=removed)
        return removed

    async def _attach(self, record: ImageRecord) -> None:
        entry = record.entry
        for kind, media_type in _DOCUMENTS:
            body = described(record, "sbom" if kind == "sbom" else "provenance")
            await self._shipping.attach(
                entry.repository, entry.digest, record.manifest_size, media_type, body
            )

    async def _remove(self, repository: str, digests: Sequence[str]) -> None:
        for digest in digests:
            for referrer in await asyncio.to_thread(self._registry.referrers, repository, digest):
                await asyncio.to_thread(self._registry.remove_manifest, repository, referrer.digest)
            await asyncio.to_thread(self._registry.remove_manifest, repository, digest)
        await self._index.displace(repository, digests)
