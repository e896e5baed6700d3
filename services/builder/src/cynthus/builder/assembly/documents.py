"""What is told about an image: what is in it, and how it came to be."""

from typing import Literal

from cynthus.builder.domain.bill_of_materials import Subject, bill_of_materials, provenance
from cynthus.builder.ports import ImageRecord


def described(record: ImageRecord, kind: Literal["sbom", "provenance"]) -> bytes:
    """A CycloneDX document, or an in-toto statement."""
    entry = record.entry
    subject = Subject(entry.repository, entry.digest, record.source, record.lock, entry.base)
    if kind == "sbom":
        return bill_of_materials(subject, record.components)
    return provenance(subject, record.components, dict(record.parameters))
