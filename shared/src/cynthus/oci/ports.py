"""Where images are kept: a registry, or a folder on disk. Blocking calls, safe from several threads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from cynthus.oci.descriptor import Descriptor


class ContentUnknown(Exception):
    """The repository has no such blob or manifest, or it is not ours to see."""


class BlobsUnknown(Exception):
    """A manifest names blobs that the repository has not got: `digests`, empty when it does not say which."""

    def __init__(self, digests: tuple[str, ...] = ()) -> None:
        super().__init__(", ".join(digests) or "a blob of the manifest")
        self.digests = digests


class RegistryUnavailable(Exception):
    """It did not answer, or not usefully; later it may."""


class RegistryDenied(Exception):
    """It wants other credentials, or forbids this."""


class ContentDamaged(Exception):
    """What arrived is not what its digest names."""


class StorageFull(Exception):
    """There is no room for what should be kept."""


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or index as it is stored."""

    body: bytes
    media_type: str
    digest: str


class Registry(Protocol):
    """Repositories of content-addressed blobs and manifests.

    Any call may raise RegistryUnavailable (after retries) and RegistryDenied; a repository is a path such as
    `ada/digits`.
    """

    def stat(self, repository: str, digest: str) -> int | None:
        """Bytes of a blob, or None when the repository has not got it."""
        ...

    def read(self, repository: str, digest: str, *, offset: int = 0) -> Iterator[bytes]:
        """A blob's bytes in pieces of at most 1 MiB; whole reads are verified as they end.

        A connection cut midway is resumed. Raises ContentUnknown, ContentDamaged.
        """
        ...

    def write(self, repository: str, digest: str, size: int, source: Callable[[], BinaryIO]) -> None:
        """Store a blob, if it is not there; `source` is opened again for another try.

        Nothing is visible before all of it is there and verified. Raises ContentDamaged, StorageFull.
        """
        ...

    def mount(self, repository: str, digest: str, source_repository: str) -> bool:
        """Make a blob of another repository one of this; False when that cannot be done."""
        ...

    def manifest(self, repository: str, reference: str) -> Document:
        """A manifest or index by digest or tag, verified. Raises ContentUnknown, ContentDamaged."""
        ...

    def write_manifest(self, repository: str, body: bytes, media_type: str, *, tag: str | None = None) -> str:
        """Store a manifest and give its digest. Raises BlobsUnknown."""
        ...

    def referrers(
        self, repository: str, digest: str, artifact_type: str | None = None
    ) -> Sequence[Descriptor]:
        """Manifests whose subject is this one."""
        ...

    def tags(self, repository: str) -> Sequence[str]:
        """Every tag, sorted; none for an unknown repository."""
        ...

    def remove_manifest(self, repository: str, digest: str) -> None:
        """Forget a manifest and its tags; what is not there is fine."""
        ...
