"""Bytes that are what they say they are: the right number, with the right digest."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cynthus.oci.ports import ContentDamaged

PIECE_BYTES = 1 << 20


def verified(pieces: Iterable[bytes], digest: str) -> Iterator[bytes]:
    """The same pieces; the last one comes only when all are what `digest` names. Raises ContentDamaged."""
    hashed = hashlib.sha256()
    held = b""
    for piece in pieces:
        hashed.update(piece)
        if held:
            yield held
        held = piece
    if f"sha256:{hashed.hexdigest()}" != digest:
        raise ContentDamaged(f"{digest} arrived as sha256:{hashed.hexdigest()}")
    if held:
        yield held


def check(data: bytes, digest: str) -> None:
    """Raises ContentDamaged unless `digest` names these bytes."""
    found = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if found != digest:
        raise ContentDamaged(f"{digest} arrived as {found}")


def exactly(source: BinaryIO, length: int, *, last: bool = True) -> Iterator[bytes]:
    """So many bytes of a source in pieces of at most 1 MiB; `last` when nothing may follow.

    Raises ContentDamaged, for one that is too long before its last piece.
    """
    left = length
    while left:
        piece = source.read(min(left, PIECE_BYTES))
        if not piece:
            raise ContentDamaged(f"the source ends {left} bytes too early")
        left -= len(piece)
        if last and not left:
            ended(source)
        yield piece
    if last and not length:
        ended(source)


def ended(source: BinaryIO) -> None:
    """Raises ContentDamaged when there is more to read."""
    if source.read(1):
        raise ContentDamaged("the source has more bytes than its size says")
