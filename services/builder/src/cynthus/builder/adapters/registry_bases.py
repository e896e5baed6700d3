"""Base images in the registry, or brought there once from where they are."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from cynthus.builder.domain.image import Base, Layer
from cynthus.builder.domain.repositories import Repositories
from cynthus.builder.ports import BaseUnavailable, Index
from cynthus.oci.copying import copy_image
from cynthus.oci.descriptor import NotAnImage
from cynthus.oci.manifest import Config, Manifest
from cynthus.oci.ports import ContentDamaged, ContentUnknown, Registry, RegistryDenied, RegistryUnavailable
from cynthus.oci.pulling import find_image
from cynthus.oci.reference import NotAReference, Reference

_KIND = "base"
_LARGEST_CONFIG = 4_000_000
_DEBIAN_PYTHON = "/usr/bin/python3"
_OFFICIAL_PYTHON = "/usr/local/bin/python3"
_ASSUMED_GLIBC = (2, 31)


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A base for one Python version; `python` and `glibc` are guessed from the image when absent."""

    reference: str
    python: str | None = None
    glibc: tuple[int, int] | None = None


class RegistryBases:
    """The Bases port. `ours` is the registry's host as references name it, None for a folder on disk."""

    def __init__(
        self,
        registry: Registry,
        index: Index,
        catalogue: Mapping[str, CatalogueEntry],
        *,
        fallback: str,
        ours: str | None,
        repositories: Repositories,
        elsewhere: Callable[[str], Registry],
    ) -> None:
        self._registry = registry
        self._index = index
        self._catalogue = catalogue
        self._fallback = fallback
        self._ours = ours
        self._repositories = repositories
        self._elsewhere = elsewhere
        self._found: dict[str, Base] = {}
        self._turn = asyncio.Lock()

    async def find(self, python: str, chosen: str | None, *, needed: bool) -> Base | None:
        """The base for a Python, or the project's own choice."""
        entry = CatalogueEntry(chosen) if chosen else self._catalogue.get(python)
        if entry is None and not needed:
            return None
        entry = entry or CatalogueEntry(self._fallback.format(python=python))
        key = json.dumps([entry.reference, entry.python, entry.glibc, python])
        async with self._turn:
            if key not in self._found:
                self._found[key] = await self._known(key, entry, python)
        return self._found[key]

    async def _known(self, key: str, entry: CatalogueEntry, python: str) -> Base:
        document = await self._index.known(_KIND, key)
        if document is not None:
            layers = tuple(Layer(**layer) for layer in document.pop("layers"))
            return Base(**{**document, "layers": layers, "glibc": tuple(document["glibc"])})
        try:
            base = await asyncio.to_thread(self._bring, entry, python)
        except (RegistryUnavailable, ContentDamaged) as error:
            raise BaseUnavailable(
                "base_unreachable",
                f"The base image {entry.reference} cannot be fetched: {error}.",
                "Check the network and the registry; the run can be repeated with `cynthus rerun`.",
            ) from error
        except (ContentUnknown, RegistryDenied, NotAnImage, NotAReference) as error:
            raise BaseUnavailable(
                "base_missing",
                f"There is no base image {entry.reference} for Python {python}: {error}.",
                "Name one that exists as `base` under [image], or choose another Python version.",
            ) from error
        await self._index.learn(_KIND, key, asdict(base))
        return base

    def _bring(self, entry: CatalogueEntry, python: str) -> Base:
        reference = Reference.parse(entry.reference)
        wanted = reference.digest or reference.tag or "latest"
        if reference.host == self._ours:
            repository = reference.repository
        else:
            repository = self._repositories.base(reference.repository)
            wanted = copy_image(
                self._elsewhere(reference.host), reference.repository, wanted, self._registry, repository
            )
        manifest, document = find_image(self._registry, repository, wanted)
        config = Config.decode(self._configuration(repository, manifest))
        pinned = f"{reference.host}/{reference.repository}@{document.digest}"
        layers = tuple(
            Layer("base", layer.digest, diff_id, layer.size, _as_oci(layer.media_type), None, repository)
            for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
        )
        return Base(
            reference=pinned,
            digest=document.digest,
            repository=repository,
            layers=layers,
            python=entry.python or _interpreter(config, python),
            glibc=entry.glibc or _ASSUMED_GLIBC,
            env=config.env,
            architecture=config.architecture,
            os=config.os,
        )

    def _configuration(self, repository: str, manifest: Manifest) -> bytes:
        if manifest.config.size > _LARGEST_CONFIG:
            raise NotAnImage(f"its configuration has {manifest.config.size} bytes")
        return b"".join(self._registry.read(repository, manifest.config.digest))


def _interpreter(config: Config, python: str) -> str:
    official = "PYTHON_VERSION" in config.env
    return f"{_OFFICIAL_PYTHON if official else _DEBIAN_PYTHON}{python.removeprefix('3')}"


def _as_oci(media_type: str) -> str:
    """Docker's names and OCI's cannot stand in one manifest; the bytes are the same."""
    return media_type.replace(
        "application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"
    )
