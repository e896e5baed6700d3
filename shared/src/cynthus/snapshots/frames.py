"""Many small blobs in one body: each is its 32-byte SHA-256, an 8-byte big-endian length, and its bytes."""

import hashlib
from collections.abc import Iterable, Iterator

MEDIA_TYPE = "application/vnd.cynthus.blobs"
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_BLOB_BYTES = 1024 * 1024
"""Larger blobs travel alone."""

_HEAD_BYTES = 40
_DIGEST_BYTES = 32


class FramesInvalid(ValueError):
    """The body is cut short, or a blob is not what its digest says."""


def pack(blobs: Iterable[bytes]) -> Iterator[bytes]:
    """Frames for a request or response body."""
    for blob in blobs:
        yield hashlib.sha256(blob).digest() + len(blob).to_bytes(8, "big")
        yield blob


def unpack(body: bytes | memoryview) -> Iterator[tuple[str, bytes]]:
    """(hex digest, bytes) of each blob, verified."""
    view, offset = memoryview(body), 0
    while offset < len(view):
        head = bytes(view[offset : offset + _HEAD_BYTES])
        size = int.from_bytes(head[_DIGEST_BYTES:], "big")
        blob = bytes(view[offset + _HEAD_BYTES : offset + _HEAD_BYTES + size])
        if len(head) < _HEAD_BYTES or len(blob) < size:
            raise FramesInvalid(f"the body ends inside a blob at byte {offset}")
        if hashlib.sha256(blob).digest() != head[:_DIGEST_BYTES]:
            raise FramesInvalid(f"the blob at byte {offset} does not match its digest")
        yield head[:_DIGEST_BYTES].hex(), blob
        offset += _HEAD_BYTES + size
