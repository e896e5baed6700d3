"""Manifests that refer to another one by their subject."""

from cynthus.oci.descriptor import Descriptor
from cynthus.oci.documents import objects, read_object, text_or_none, texts
from cynthus.oci.manifest import digest_of


def subject_of(body: bytes) -> str | None:
    """The digest of a manifest's subject. Raises NotAnImage."""
    subject = read_object(body).get("subject")
    return None if subject is None else Descriptor.decode(subject).digest


def described(body: bytes, media_type: str) -> Descriptor:
    """A manifest as lists of referrers name it: with its artifact type and its annotations."""
    read = read_object(body)
    kind = read.get("artifactType") or objects(read.get("config"), "a configuration").get("mediaType")
    return Descriptor(
        media_type,
        digest_of(body),
        len(body),
        texts(read.get("annotations"), "the annotations of a manifest"),
        text_or_none(kind, "the artifact type of a manifest"),
    )


def of_type(found: list[Descriptor], artifact_type: str | None) -> tuple[Descriptor, ...]:
    """Those of one type, or all; each once."""
    unique = {descriptor.digest: descriptor for descriptor in found}
    return tuple(
        descriptor
        for descriptor in unique.values()
        if artifact_type is None or descriptor.artifact_type == artifact_type
    )
