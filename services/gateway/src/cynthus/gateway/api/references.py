"""Digests in paths: what is none cannot be there."""

import re

from cynthus.blobs.ports import BlobMissing
from cynthus.gateway.domain.problems import SnapshotMissing

_HEX = re.compile(r"[0-9a-f]{64}")


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
