"""Image indexes: which manifests there are, for which platforms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.documents import NotAnImage, items, objects, read_object, text, text_or_none
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
    read = read_object(body)
    if "manifests" not in read:
        raise NotAnImage("the document is no image index")
    listed = items(read["manifests"], "the manifests of an index")
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


def _platform(said: Any) -> str | None:
    if said is None:
        return None
    read = objects(said, "a platform")
    parts = [text(read.get(name), f"the {name} of a platform") for name in ("os", "architecture")]
    variant = text_or_none(read.get("variant"), "the variant of a platform")
    return "/".join([*parts, variant] if variant else parts)
