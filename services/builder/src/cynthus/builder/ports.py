"""What the builder needs from outside."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from cynthus.builder.domain.bill_of_materials import Component
from cynthus.builder.domain.build import Built
from cynthus.builder.domain.image import Base, Layer
from cynthus.builder.domain.image_build import BuildLimits, BuildRefused, DockerfileImage
from cynthus.builder.domain.lock import Lock, LockedPackage, Target
from cynthus.events import RunRequested
from cynthus.oci.ports import Registry
from cynthus.planning.document import Index as PackageIndex
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
    attempts: int = 1


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
        """The oldest build that nobody works on, nor on its like; it is ours until the lease ends."""
        ...

    async def renew(self, run_id: str, lease: timedelta) -> None:
        """Keep a claimed build for longer."""
        ...

    async def put_off(self, run_id: str, delay: timedelta) -> None:
        """Give a claimed build back, to be claimed after a while."""
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


class ImportsFailed(BuildRefused):
    """A module that the code imports cannot be imported in the image."""


class NoContainerEngine(Exception):
    """The run needs a container and the machine has no engine; says what needs it."""

    fix = "Install Docker or Podman on this machine and start it, or remove what needs a container."


class Wheels(Protocol):
    """Wheels of locked packages, on disk."""

    async def fetch(
        self,
        packages: Sequence[LockedPackage],
        target: Target,
        indexes: Sequence[PackageIndex],
        secrets: Mapping[str, str],
    ) -> Mapping[str, Path]:
        """Wheel files by the SHA-256 of what was locked; source distributions are built first.

        `indexes` are the plan's, `secrets` what opens them, by name. Raises LockRefused, ResolverUnavailable.
        """
        ...


class SystemPackages(Protocol):
    """Debian packages as one layer on a base."""

    async def layer(
        self, packages: Sequence[str], base: Base, repository: str
    ) -> tuple[Layer | None, tuple[str, ...]]:
        """The layer in `repository` (None when the base has everything) and what was installed, name=version.

        Raises BuildRefused, ResolverUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """A module that cannot be imported, why, and the line to add to the project; `evidence` is Python's."""

    module: str
    why: str
    fix: str
    evidence: tuple[str, ...] = ()


class ImportTrial(Protocol):
    """Imports modules in an environment made of layers, with no network."""

    async def try_imports(
        self, repository: str, layers: Sequence[Layer], python: str, modules: Sequence[str]
    ) -> tuple[ImportProblem, ...] | None:
        """What cannot be imported; None when it could not be tried here."""
        ...


class DockerfileBuilder(Protocol):
    """Builds a project's own Dockerfile."""

    async def build(
        self,
        context: Sequence[Entry],
        read: Callable[[Entry], Iterator[bytes]],
        dockerfile: str,
        *,
        repository: str,
        target: Registry,
        limits: BuildLimits,
        report: Callable[[str], None] | None = None,
    ) -> DockerfileImage:
        """The image, in `repository` of `target`. Raises BuildRefused, RegistryUnavailable."""
        ...


class Collectable(Protocol):
    """What the collector removes: images that nobody uses."""

    async def collect(
        self, unused: timedelta, remove: Callable[[str, Sequence[str]], Awaitable[None]], limit: int = 20
    ) -> int:
        """Forget images that no run used for so long, each once `remove(repository, digests)` is done."""
        ...
