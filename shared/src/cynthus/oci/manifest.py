"""Image manifests and configurations, canonical when written: equal images are equal bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cynthus.oci.descriptor import Descriptor, MediaType
from cynthus.oci.documents import NotAnImage, items, objects, read_object, text, text_or_none, texts


class Note:
    """Our annotations on layers and manifests."""

    LAYER = "dev.cynthus.layer"
    """base, system (apt), venv, packages (several small wheels), wheel, or source."""
    PACKAGE = "dev.cynthus.package"
    """Of a wheel layer: name==version."""
    DIFF_ID = "dev.cynthus.diff-id"
    """The digest of a layer's uncompressed tar, so that a machine need not read the configuration."""
    SOURCE = "dev.cynthus.source"
    LOCK = "dev.cynthus.lock"
    BASE_NAME = "org.opencontainers.image.base.name"
    BASE_DIGEST = "org.opencontainers.image.base.digest"
    TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest; with `subject`, one that refers to another (a referrer)."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str | None = None
    media_type: str = MediaType.MANIFEST

    def encode(self) -> bytes:
        """Canonical JSON."""
        body: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.encode(),
            "layers": [layer.encode() for layer in self.layers],
        }
        if self.artifact_type is not None:
            body["artifactType"] = self.artifact_type
        if self.subject is not None:
            body["subject"] = self.subject.encode()
        if self.annotations:
            body["annotations"] = dict(sorted(self.annotations.items()))
        return canonical(body)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises NotAnImage, for an index too."""
        read = read_object(body)
        if "config" not in read or "layers" not in read:
            raise NotAnImage(f"{str(read.get('mediaType'))[:100]} is no image manifest")
        subject = read.get("subject")
        return cls(
            config=Descriptor.decode(read["config"]),
            layers=tuple(Descriptor.decode(layer) for layer in items(read["layers"], "layers")),
            annotations=texts(read.get("annotations"), "the annotations of a manifest"),
            subject=None if subject is None else Descriptor.decode(subject),
            artifact_type=text_or_none(read.get("artifactType"), "the artifact type of a manifest"),
            media_type=text_or_none(read.get("mediaType"), "a media type") or MediaType.MANIFEST,
        )


@dataclass(frozen=True, slots=True)
class Config:
    """An image configuration. `execution` is its `config` object (Env, Cmd, User, WorkingDir, Labels)."""

    architecture: str
    os: str
    diff_ids: tuple[str, ...]
    execution: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    variant: str | None = None

    def encode(self) -> bytes:
        """Canonical JSON, created at the epoch: the time of a build is no part of what was built."""
        body: dict[str, Any] = {
            "created": "1970-01-01T00:00:00Z",
            "architecture": self.architecture,
            "os": self.os,
            "config": self.execution,
            "rootfs": {"type": "layers", "diff_ids": list(self.diff_ids)},
            "history": list(self.history),
        }
        if self.variant is not None:
            body["variant"] = self.variant
        return canonical(body)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises NotAnImage."""
        read = read_object(body)
        rootfs = objects(read.get("rootfs"), "the file system of an image")
        execution = objects(read.get("config"), "how an image is run")
        return cls(
            architecture=text(read.get("architecture"), "the architecture of an image"),
            os=text(read.get("os"), "the system of an image"),
            diff_ids=tuple(text(one, "a diff id") for one in items(rootfs.get("diff_ids"), "diff ids")),
            execution={**execution, **_variables(execution)},
            history=tuple(objects(one, "history") for one in items(read.get("history"), "history")),
            variant=text_or_none(read.get("variant"), "the variant of an image"),
        )

    @property
    def env(self) -> dict[str, str]:
        """The environment variables."""
        pairs = (item.partition("=") for item in self.execution.get("Env") or ())
        return {name: value for name, _, value in pairs}


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: bytes) -> str:
    """sha256:<hex>."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _variables(execution: dict[str, Any]) -> dict[str, list[str]]:
    listed = [text(one, "a variable of an image") for one in items(execution.get("Env"), "variables")]
    return {"Env": listed} if listed else {}
