"""Digests and names in paths: what is none cannot be there."""

import re
from datetime import datetime

from cynthus.blobs.ports import BlobMissing
from cynthus.gateway.domain.problems import ImageMissing, ProjectMissing, SnapshotMissing
from cynthus.web.problems import Refused

_HEX = re.compile(r"[0-9a-f]{64}")
_IMAGE = re.compile(r"(?:sha256:)?[0-9a-f]{8,64}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_NAME = re.compile(r"[a-z0-9-]{1,63}")


def require_hex(digest: str) -> str:
    """64 hex digits. Raises BlobMissing."""
    if not _HEX.fullmatch(digest):
        raise BlobMissing("there is no such blob: a digest is 64 hex digits")
    return digest


def require_snapshot(digest: str) -> str:
    """`sha256:` and 64 hex digits. Raises SnapshotMissing."""
    if not _HEX.fullmatch(digest.removeprefix("sha256:")) or not digest.startswith("sha256:"):
        raise SnapshotMissing("there is no such snapshot: a digest is sha256: and 64 hex digits")
    return digest


def require_image(digest: str) -> str:
    """A digest, or at least 8 hex digits of its beginning. Raises ImageMissing."""
    if not _IMAGE.fullmatch(digest):
        raise ImageMissing("there is no such image")
    return digest


def require_moment(text: str) -> datetime:
    """An RFC 3339 time. Raises Refused (422)."""
    try:
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    hint = "Write it with its offset, such as 2026-11-23T14:05:00Z; a + in an address is written %2B."
    raise Refused(422, "invalid_time", "as_of is no RFC 3339 time", hint)


def require_name(project: str) -> str:
    """A name that a project may have. Raises ProjectMissing."""
    if not _NAME.fullmatch(project):
        raise ProjectMissing("there is no such project")
    return project
