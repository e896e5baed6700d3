"""What the builder needs from outside."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from cynthus.builder.domain.build import Built
from cynthus.builder.domain.image import Base, Layer
from cynthus.builder.domain.lock import Lock, Target
from cynthus.events import RunRequested
from cynthus.planning.document import Plan
from cynthus.planning.tree import SourceTree
from cynthus.snapshots.manifest import Entry


class ResolverUnavailable(Exception):
    """The package index cannot be reached now."""

    def __init__(
        self,
        why: str,
        *,
        message: str = "The package index cannot be reached.",
        fix: str = "Check the network; the run can be repeated with `cynthus rerun`.",
    ) -> None:
        super().__init__(why)
        self.message = message
        self.fix = fix


class Resolver(Protocol):
    """Turns a plan's requirements into a lock."""

    async def resolve(self, plan: Plan, tree: SourceTree, target: Target, secrets: Mapping[str, str]) -> Lock:
        """`secrets` by name, for private indexes. Raises LockRefused, ResolverUnavailable."""
        ...

    def backend(self, plan: Plan) -> str | None:
        """What torch's wheels are chosen for: "cpu", "cu130"; None where the index decides."""
        ...


class Project(SourceTree, Protocol):
    """A project's files: for planning and for packing. For other threads than the event loop's."""

    def entries(self) -> Sequence[Entry]:
        """Files, links and empty folders, as the manifest has them."""
        ...

    def stream(self, entry: Entry) -> Iterator[bytes]:
        """A file's content in pieces."""
        ...

    def read_many(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        """Contents of small files by path, fetched side by side."""
        ...


class Sources(Protocol):
    """Project snapshots, as trees that planning can read; and a place for locks beside them."""

    async def open(self, owner: str, snapshot: str) -> Project:
        """A tree whose reads may be made from another thread. Raises SourceMissing."""
        ...

    async def keep(self, owner: str, text: str) -> str:
        """Store a text as a blob of the owner; its SHA-256 in hex."""
        ...


class SourceMissing(Exception):
    """The owner has no such snapshot."""


@dataclass(frozen=True, slots=True)
class Job:
    """A build that was started and has no end yet."""

    run_id: str
    key: str
    message: RunRequested


class Builds(Protocol):
    """Builds under way, and what was built before."""

    async def find(self, key: str) -> Built | None:
        """An image built earlier."""
        ...

    async def keep(self, key: str, built: Built) -> None:
        """Remember an image."""
        ...

    async def find_lock(self, key: str) -> Lock | None:
        """A lock resolved earlier."""
        ...

    async def keep_lock(self, key: str, lock: Lock) -> None:
        """Remember a lock."""
        ...

    async def claim(self, lease: timedelta) -> Job | None:
        """The oldest build that nobody works on; it is ours until the lease ends."""
        ...

    async def renew(self, run_id: str, lease: timedelta) -> None:
        """Keep a claimed build for longer."""
        ...


class Index(Protocol):
    """What was packed before, where it is, and answers that do not change."""

    async def layers(self, keys: Collection[str]) -> Mapping[str, Layer]:
        """Layers packed earlier, by key."""
        ...

    async def keep_layer(self, key: str, layer: Layer) -> None:
        """Remember a layer that is in its repository."""
        ...

    async def forget_layers(self, digests: Collection[str]) -> None:
        """These are in no repository after all."""
        ...

    async def placed(self, repository: str, digests: Collection[str]) -> frozenset[str]:
        """Which of them the repository has, as far as is known here."""
        ...

    async def place(self, repository: str, digests: Sequence[str]) -> None:
        """The repository has them."""
        ...

    async def displace(self, repository: str, digests: Collection[str]) -> None:
        """The repository has not got them."""
        ...

    async def known(self, kind: str, key: str) -> Any | None:
        """An answer that was found before: a JSON value."""
        ...

    async def learn(self, kind: str, key: str, document: Any) -> None:
        """Keep an answer."""
        ...


class BaseUnavailable(Exception):
    """The base image cannot be had: `code` is stable."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix


class Bases(Protocol):
    """Base images by Python version, pinned."""

    async def find(self, python: str, chosen: str | None, *, needed: bool) -> Base | None:
        """The base for a Python, or the project's own choice; None when there is none and none is needed.

        Its layers are readable in `repository` of our registry. Raises BaseUnavailable.
        """
        ...


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
