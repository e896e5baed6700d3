"""What is in an image (CycloneDX 1.6) and how it came to be (SLSA provenance 1.0)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cynthus.oci.manifest import canonical

BILL_TYPE = "application/vnd.cyclonedx+json"
PROVENANCE_TYPE = "application/vnd.in-toto+json"
_BUILD_TYPE = "https://cynthus.dev/build/source-to-image/v1"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"


@dataclass(frozen=True, slots=True)
class Component:
    """A package in an image; `kind` is `pypi` or `deb`, `sha256` in hex."""

    kind: str
    name: str
    version: str
    sha256: str | None = None

    @property
    def purl(self) -> str:
        """Its package URL."""
        space = "debian/" if self.kind == "deb" else ""
        return f"pkg:{self.kind}/{space}{quote(self.name)}@{quote(self.version)}"


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that is described; `base` pinned by digest, `source` a snapshot, `lock` a blob."""

    name: str
    digest: str
    source: str
    lock: str | None = None
    base: str | None = None


def bill_of_materials(subject: Subject, components: Sequence[Component]) -> bytes:
    """A CycloneDX document; equal for equal images."""
    found = sorted(components, key=lambda one: (one.kind, one.name, one.version))
    listed = [_listed(one) for one in found]
    if subject.base is not None:
        listed.insert(0, {"type": "container", "bom-ref": subject.base, "name": subject.base})
    root = f"pkg:oci/{quote(subject.name.rpartition('/')[2])}@{quote(subject.digest)}"
    return canonical(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, root)}",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "container", "bom-ref": root, "name": subject.name, "version": subject.digest,
                    "purl": root,
                },
                "tools": {"components": [{"type": "application", "name": "cynthus-builder"}]},
            },
            "components": listed,
            "dependencies": [{"ref": root, "dependsOn": sorted(one["bom-ref"] for one in listed)}],
        }
    )  # fmt: skip


def provenance(subject: Subject, components: Sequence[Component], parameters: dict[str, Any]) -> bytes:
    """An in-toto statement: `parameters` is what the build was asked for, without secrets."""
    made_of: list[dict[str, Any]] = [
        {"uri": f"cynthus:snapshot:{subject.source}", "digest": _hex(subject.source)}
    ]
    if subject.lock is not None:
        made_of.append({"uri": f"cynthus:lock:{subject.lock}", "digest": _hex(subject.lock)})
    if subject.base is not None:
        made_of.append({"uri": f"oci://{subject.base}", "digest": _hex(subject.base.rpartition("@")[2])})
    for one in sorted(components, key=lambda each: (each.kind, each.name, each.version)):
        digest = {"digest": {"sha256": one.sha256}} if one.sha256 else {}
        made_of.append({"uri": one.purl, **digest})
    return canonical(
        {
            "_type": _STATEMENT,
            "subject": [{"name": subject.name, "digest": _hex(subject.digest)}],
            "predicateType": _PREDICATE,
            "predicate": {
                "buildDefinition": {
                    "buildType": _BUILD_TYPE,
                    "externalParameters": parameters,
                    "resolvedDependencies": made_of,
                },
                "runDetails": {"builder": {"id": "https://cynthus.dev/builder"}},
            },
        }
    )


def _listed(one: Component) -> dict[str, Any]:
    hashes = {"hashes": [{"alg": "SHA-256", "content": one.sha256}]} if one.sha256 else {}
    return {
        "type": "library", "bom-ref": one.purl, "name": one.name, "version": one.version, "purl": one.purl,
        **hashes,
    }  # fmt: skip


def _hex(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}
