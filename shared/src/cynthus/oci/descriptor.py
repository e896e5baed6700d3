"""What names a piece of an image: its type, digest and size."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cynthus.oci.documents import NotAnImage, objects, text, text_or_none, texts

__all__ = ["Descriptor", "MediaType", "NotAnImage", "is_digest"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST = (1 << 63) - 1


class MediaType:
    """The media types this platform reads and writes."""

    INDEX = "application/vnd.oci.image.index.v1+json"
    MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    CONFIG = "application/vnd.oci.image.config.v1+json"
    EMPTY = "application/vnd.oci.empty.v1+json"
    LAYER = "application/vnd.oci.image.layer.v1.tar"
    LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A content descriptor; `size` in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None

    def encode(self) -> dict[str, Any]:
        """As JSON values."""
        body: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type is not None:
            body["artifactType"] = self.artifact_type
        if self.annotations:
            body["annotations"] = dict(sorted(self.annotations.items()))
        return body

    @classmethod
    def decode(cls, body: Any) -> Self:
        """Raises NotAnImage."""
        read = objects(body, "a descriptor")
        digest, size = text(read.get("digest"), "the digest of a descriptor"), read.get("size")
        if not (is_digest(digest) and type(size) is int and 0 <= size <= _LARGEST):
            raise NotAnImage(f"{digest[:100]!r} with size {str(size)[:30]!r} is no descriptor")
        return cls(
            media_type=text(read.get("mediaType"), "the media type of a descriptor"),
            digest=digest,
            size=size,
            annotations=texts(read.get("annotations"), "the annotations of a descriptor"),
            artifact_type=text_or_none(read.get("artifactType"), "the artifact type of a descriptor"),
        )


def is_digest(text: str) -> bool:
    """Whether this is sha256:<64 hex digits>, the only kind used here."""
    return _DIGEST.fullmatch(text) is not None
