"""Image indexes: which manifests there are, for which platforms."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cynthus.oci.descriptor import Descriptor, MediaType, NotAnImage
from cynthus.oci.manifest import canonical

INDEXES = frozenset({MediaType.INDEX, MediaType.DOCKER_INDEX})
MANIFESTS = frozenset({MediaType.MANIFEST, MediaType.DOCKER_MANIFEST})


@dataclass(frozen=True, slots=True)
class Entry:
    """One manifest of an index; `platform` as `linux/amd64` or `linux/arm64/v8`, None when not said."""

    descriptor: Descriptor
    platform: str | None = None


def decode_index(body: bytes) -> tuple[Entry, ...]:
    """Raises NotAnImage, for an image manifest too."""
    listed = read_object(body).get("manifests")
    if not isinstance(listed, list):
        raise NotAnImage("the document is no image index")
    return tuple(Entry(Descriptor.decode(item), _platform(item.get("platform"))) for item in listed)


def encode_index(manifests: Sequence[Descriptor]) -> bytes:
    """Canonical JSON."""
    return canonical(
        {
            "schemaVersion": 2,
            "mediaType": MediaType.INDEX,
            "manifests": [descriptor.encode() for descriptor in manifests],
        }
    )


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises NotAnImage."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAnImage("a document of an image is no JSON") from error
    if not isinstance(read, dict):
        raise NotAnImage("a document of an image is no JSON object")
    return read


def _platform(said: Any) -> str | None:
    if said is None:
        return None
    try:
        parts = [said["os"], said["architecture"], said.get("variant")]
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAnImage("a platform of an image index is not understood") from error
    return "/".join(str(part) for part in parts if part)
