"""Why the gateway does not do what it was asked."""

from dataclasses import dataclass


class ProjectMissing(Exception):
    """The owner has no project of this name."""


class RunMissing(Exception):
    """The owner has no such run."""


class RunAmbiguous(Exception):
    """The prefix fits several runs."""


class RunIsOver(Exception):
    """The run has ended; there is nothing to stop."""


class RunIsNotOver(Exception):
    """The run has not ended yet."""


class KeyReused(Exception):
    """The idempotency key was used for another request."""


class ImageMissing(Exception):
    """The owner has no such image."""


class ImageAmbiguous(Exception):
    """The prefix fits several images."""


class DocumentMissing(Exception):
    """The image was made without this document."""


class ImagesUnavailable(Exception):
    """The builder cannot be asked now."""


class MachinesUnavailable(Exception):
    """The provisioner cannot be asked now, or has not seen its provider's machines yet."""


class TimeToCome(Exception):
    """History is asked about a moment that has not come yet."""


class SnapshotMissing(Exception):
    """The owner has no complete snapshot of this digest."""


class SnapshotUnknown(Exception):
    """A request names a snapshot that the owner has not uploaded."""


class SecretsGone(Exception):
    """The secret values of the run are no longer kept."""


class TooManyStreams(Exception):
    """The owner holds as many streams open as he may."""


class HistoryUnavailable(Exception):
    """Run history cannot be asked now."""


@dataclass
class HistoryRefused(Exception):
    """Run history turned the question down, for a reason the caller can act on."""

    status: int
    code: str
    detail: str
    hint: str | None = None


@dataclass
class BlobsAbsent(Exception):
    """A manifest names blobs that were not uploaded: the first of them, in hex."""

    digests: list[str]
