"""The layers below the source: virtual environment, packages, heavy wheels, system packages."""

import asyncio
import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cynthus.builder.assembly.phases import Phases
from cynthus.builder.assembly.shipping import Shipping
from cynthus.builder.domain.image import Layer
from cynthus.builder.domain.lock import LockedPackage
from cynthus.builder.packing import keys
from cynthus.builder.packing.layer import PackedLayer
from cynthus.builder.packing.packages import packages_layer, venv_layer, wheel_layer
from cynthus.builder.ports import Index

HEAVY_BYTES = 5_000_000
MOST_HEAVY = 60
"""Engines stop at about 125 layers."""

Fetch = Callable[[Sequence[LockedPackage]], Awaitable[Mapping[str, Path]]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A layer to be had: its key, its home, and the packages in it (none for the environment's frame)."""

    key: str
    kind: str
    repository: str
    packages: tuple[LockedPackage, ...] = ()
    held: bool = False


class Dependencies:
    """Finds layers in the index, and packs and pushes what was never packed before."""

    def __init__(
        self, index: Index, shipping: Shipping, folder: Path, shared: str, *, threads: int = 2
    ) -> None:
        self._index = index
        self._shared = shared
        self._shipping = shipping
        self._folder = folder
        self._places = asyncio.Semaphore(threads)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def layers(
        self,
        packages: Sequence[LockedPackage],
        *,
        python: str,
        interpreter: str,
        repository: str,
        fetch: Fetch,
        phases: Phases,
    ) -> list[Layer]:
        """In the order of the image. `repository` takes what is not for everybody."""
        wanted = plan_layers(packages, python, interpreter, self._shared, repository)
        found = dict(await self._index.layers([one.key for one in wanted]))
        missing = [one for one in wanted if one.key not in found]
        if missing:
            with phases.timed("fetch"):
                wheels = await fetch([package for one in missing for package in one.packages])
            with phases.timed("layers"):
                made = await asyncio.gather(
                    *(self._make(one, wheels, python, interpreter) for one in missing)
                )
            found |= dict(zip((one.key for one in missing), made, strict=True))
        return [found[one.key] for one in wanted]

    async def _make(self, wanted: Wanted, wheels: Mapping[str, Path], python: str, interpreter: str) -> Layer:
        async with self._turns[wanted.key]:
            if layer := (await self._index.layers([wanted.key])).get(wanted.key):
                return layer
            with tempfile.TemporaryDirectory(
                prefix="layer-", dir=self._folder, ignore_cleanup_errors=True
            ) as folder:
                target = Path(folder) / "layer.tar.gz"
                async with self._places:
                    packed = await asyncio.to_thread(_pack, wanted, wheels, python, interpreter, target)
                layer = await self._shipping.new_layer(wanted.repository, packed, held=wanted.held)
            await self._index.keep_layer(wanted.key, layer)
        return layer


def plan_layers(
    packages: Sequence[LockedPackage], python: str, interpreter: str, shared: str, repository: str
) -> list[Wanted]:
    """Which layers hold what: heavy wheels by themselves, the others together; private ones apart."""
    private = sorted((one for one in packages if one.private), key=_by_name)
    public = sorted((one for one in packages if not one.private), key=_by_name)
    frame = Wanted(keys.venv_key(python, interpreter), "venv", shared, held=True)
    return [
        frame,
        *_shares(public, python, shared, "", held=True),
        *_shares(private, python, repository, f"{repository}:", held=False),
    ]


def _shares(
    packages: Sequence[LockedPackage], python: str, repository: str, space: str, *, held: bool
) -> list[Wanted]:
    by_size = sorted(packages, key=lambda one: (-(one.size or 0), one.name))
    heavy = {one.sha256 for one in by_size[:MOST_HEAVY] if (one.size or 0) >= HEAVY_BYTES}
    light = tuple(one for one in packages if one.sha256 not in heavy)
    wanted = []
    if light:
        key = keys.packages_key(sorted(one.sha256 for one in light), python)
        wanted.append(Wanted(space + key, "packages", repository, light, held))
    wanted.extend(
        Wanted(space + keys.wheel_key(one.sha256, python), "wheel", repository, (one,), held)
        for one in packages
        if one.sha256 in heavy
    )
    return wanted


def environment_key(layers: Sequence[Layer], base: str | None) -> str:
    """Names what an import check or an environment depends on."""
    parts = "\n".join([base or "", *(layer.diff_id for layer in layers)])
    return hashlib.sha256(parts.encode()).hexdigest()


def _pack(
    wanted: Wanted, wheels: Mapping[str, Path], python: str, interpreter: str, target: Path
) -> PackedLayer:
    if wanted.kind == "venv":
        return venv_layer(python, interpreter, target)
    files = [wheels[package.sha256] for package in wanted.packages]
    if wanted.kind == "wheel":
        return wheel_layer(files[0], python, target)
    return packages_layer(files, python, target)


def _by_name(package: LockedPackage) -> str:
    return package.name
