"""The images there are."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from cynthus.builder.domain.bill_of_materials import Component
from cynthus.builder.domain.image import Layer


class ImageMissing(Exception):
    """The owner has no such image."""


class ImageAmbiguous(Exception):
    """The prefix fits several images."""


class DocumentMissing(Exception):
    """The image was made without this document."""


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """A finished image as its owner sees it; `digest` begins with `sha256:`, `size` in bytes as moved."""

    digest: str
    reference: str | None
    repository: str
    project: str
    runtime: str
    python: str
    platform: str
    base: str | None
    size: int
    packages: int
    created_at: datetime
    command: tuple[str, ...]
    layers: tuple[Layer, ...]
    min_driver: str | None = None
    notes: tuple[str, ...] = ()


class ImageCatalogue(Protocol):
    """The images there are. The owner is part of every question: what is not his does not exist."""

    async def list(
        self, owner: str, project: str | None, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ImageEntry]:
        """Newest first; `after` is the time and digest of the last one already seen."""
        ...

    async def find(self, owner: str, digest_prefix: str) -> ImageEntry:
        """The image whose digest begins like this, `sha256:` and at least 8 hex digits.

        Raises ImageMissing, ImageAmbiguous.
        """
        ...

    async def document(self, owner: str, digest: str, kind: Literal["sbom", "provenance"]) -> bytes:
        """A JSON document about the image of a whole digest. Raises ImageMissing, DocumentMissing."""
        ...


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image with what its documents say: `environment` is the manifest without the source."""

    owner: str
    entry: ImageEntry
    manifest_size: int
    environment: str | None
    source: str
    lock: str | None
    components: tuple[Component, ...]
    parameters: Mapping[str, Any]


class Records(Protocol):
    """Keeps the catalogue."""

    async def intend(self, owner: str, project: str, repository: str, digest: str) -> None:
        """This image is about to be pushed, or used again: it is not collected meanwhile."""
        ...

    async def touch(self, repository: str, environment: str) -> None:
        """This environment is used again: the images that keep it are not collected meanwhile."""
        ...

    async def keep(self, record: ImageRecord) -> None:
        """This image is in the registry."""
        ...

    async def unattached(self, limit: int = 20) -> Sequence[ImageRecord]:
        """Images whose documents are not in the registry yet."""
        ...

    async def attached(self, owner: str, digest: str) -> None:
        """The documents are beside the image."""
        ...


class Collectable(Protocol):
    """What the collector removes: images and layers that nobody uses. Several collectors may be at it."""

    async def collect(
        self, unused: timedelta, remove: Callable[[str, Sequence[str]], Awaitable[None]], limit: int = 20
    ) -> int:
        """Forget images that no run used for so long, each once `remove(repository, digests)` is done."""
        ...

    async def collect_layers(
        self, unused: timedelta, release: Callable[[Layer], Awaitable[Sequence[str]]], limit: int = 100
    ) -> int:
        """Forget layers that no image has and no build asked for so long, each once it is released.

        `release` gives the digests of what it removed beside.
        """
        ...
