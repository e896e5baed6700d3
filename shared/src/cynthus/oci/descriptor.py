"""What names a piece of an image: its type, digest and size."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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


class NotAnImage(Exception):
    """A document or a layer is not what the OCI image specification describes; the message says where."""


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
        try:
            digest, size = body["digest"], body["size"]
            if not (_DIGEST.fullmatch(digest) and isinstance(size, int) and size >= 0):
                raise NotAnImage(f"{digest!r} with size {size!r} is no descriptor")
            return cls(
                media_type=str(body["mediaType"]),
                digest=digest,
                size=size,
                annotations=dict(body.get("annotations") or {}),
                artifact_type=body.get("artifactType"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NotAnImage(f"a descriptor is not understood: {type(error).__name__} {error}") from error


def is_digest(text: str) -> bool:
    """Whether this is sha256:<64 hex digits>, the only kind used here."""
    return _DIGEST.fullmatch(text) is not None
