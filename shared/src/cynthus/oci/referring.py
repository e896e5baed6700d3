"""Manifests that refer to another one by their subject."""

from dataclasses import replace
from typing import Any

from cynthus.oci.descriptor import Descriptor, NotAnImage
from cynthus.oci.index import read_object
from cynthus.oci.manifest import digest_of


def subject_of(body: bytes) -> str | None:
    """The digest of a manifest's subject. Raises NotAnImage."""
    subject = read_object(body).get("subject")
    return None if subject is None else Descriptor.decode(subject).digest


def described(body: bytes, media_type: str) -> Descriptor:
    """A manifest as lists of referrers name it: with its artifact type and its annotations."""
    read = read_object(body)
    config: Any = read.get("config")
    kind = read.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
    notes = read.get("annotations") or {}
    if not isinstance(notes, dict):
        raise NotAnImage("the annotations of a manifest are no object")
    return Descriptor(media_type, digest_of(body), len(body), notes, kind)


def of_type(found: list[Descriptor], artifact_type: str | None) -> tuple[Descriptor, ...]:
    """Those of one type, or all; each once."""
    unique = {descriptor.digest: descriptor for descriptor in found}
    return tuple(
        replace(descriptor)
        for descriptor in unique.values()
        if artifact_type is None or descriptor.artifact_type == artifact_type
    )
