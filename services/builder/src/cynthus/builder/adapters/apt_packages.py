"""Debian packages as one layer on a base: no privilege, no container, nothing of the packages is run."""

import asyncio
import hashlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from cynthus.builder.adapters.apt_archive import AptArchive
from cynthus.builder.adapters.base_system import BaseSystem, kept_base_system
from cynthus.builder.adapters.debian_layer import lay
from cynthus.builder.domain.debian import Deb, is_package
from cynthus.builder.domain.image import Base, Layer
from cynthus.builder.domain.image_build import BuildRefused
from cynthus.builder.packing.layer import PackedLayer
from cynthus.builder.ports import Index, SystemLayer
from cynthus.oci.ports import Registry

VERSION = 1
"""Of whatever decides the layer's bytes; part of every key."""

_ANSWER = "apt"
_DAY_S = 86_400.0


class AptPackages:
    """The SystemPackages port. Resolves anew after `fresh_s` seconds, for security updates of packages."""

    def __init__(
        self,
        archive: AptArchive,
        registry: Registry,
        index: Index,
        folder: Path,
        *,
        fresh_s: float = _DAY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive = archive
        self._registry = registry
        self._index = index
        self._folder = folder
        self._fresh_s = fresh_s
        self._clock = clock
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def layer(self, packages: Sequence[str], base: Base, repository: str) -> SystemLayer:
        """The layer, in `repository`. Raises BuildRefused, ResolverUnavailable."""
        wanted = sorted(set(packages))
        for name in wanted:
            if not is_package(name):
                raise BuildRefused(
                    "apt_not_found", f"{name!r} is no name of a Debian package.", "Correct it under `apt`."
                )
        asked = _key("asked", base.digest, wanted)
        async with self._turns[f"{repository} {asked}"]:
            answer = await self._index.known(_ANSWER, asked)
            if answer is not None and 0 <= self._clock() - answer["at"] < self._fresh_s:
                installed, notes = tuple(answer["installed"]), tuple(answer["notes"])
                layer = await self._known(base, installed, repository) if installed else None
                if layer is not None or not installed:
                    return SystemLayer(layer, installed, notes)
            made = await self._made(wanted, base, repository)
            document = {"at": self._clock(), "installed": made.installed, "notes": made.notes}
            await self._index.learn(_ANSWER, asked, document)
            return made

    async def _known(self, base: Base, installed: Sequence[str], repository: str) -> Layer | None:
        key = layer_key(base, installed, repository)
        return (await self._index.layers([key])).get(key)

    async def _made(self, wanted: Sequence[str], base: Base, repository: str) -> SystemLayer:
        if not self._archive.available():
            raise BuildRefused(
                "apt_missing",
                "This project needs Debian packages, and the builder's machine has no apt to find them with.",
                "Run Cynthus on Debian or Ubuntu, use a base image that has them, or a Dockerfile.",
            )
        system = await asyncio.to_thread(kept_base_system, self._folder / "bases", self._registry, base)
        debs = await self._archive.resolve(wanted, system, base.architecture)
        installed = tuple(f"{deb.package}={deb.version}" for deb in debs)
        if not debs:
            return SystemLayer(None)
        files = await self._archive.fetch(wanted, debs, system, base.architecture)
        with tempfile.TemporaryDirectory(prefix="system-", dir=self._folder) as folder:
            target = Path(folder) / "layer.tar.gz"
            ordered = [files[deb.name] for deb in _ordered(debs)]
            packed, notes = await asyncio.to_thread(lay, ordered, system, target)
            layer = await self._stored(packed, repository)
        await self._index.keep_layer(layer_key(base, installed, repository), layer)
        return SystemLayer(layer, installed, notes)

    async def _stored(self, packed: PackedLayer, repository: str) -> Layer:
        def write() -> None:
            if self._registry.stat(repository, packed.digest) is None:
                self._registry.write(repository, packed.digest, packed.size, lambda: packed.path.open("rb"))

        await asyncio.to_thread(write)
        await self._index.place(repository, [packed.digest])
        return Layer(
            "system", packed.digest, packed.diff_id, packed.size, packed.media_type, None, repository
        )


def layer_key(base: Base, installed: Sequence[str], repository: str) -> str:
    """Names the layer's bytes, and its home."""
    return _key(repository, base.digest, sorted(installed))


def _key(*parts: object) -> str:
    return hashlib.sha256(json.dumps(["apt", VERSION, *parts]).encode()).hexdigest()


def _ordered(debs: Sequence[Deb]) -> list[Deb]:
    return sorted(debs, key=lambda deb: (deb.package, deb.name))


__all__ = ["AptArchive", "AptPackages", "BaseSystem", "SystemLayer", "layer_key"]
