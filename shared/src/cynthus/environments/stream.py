"""A layer's uncompressed bytes, hashed on the way: gzip of any number of members, or a plain tar."""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

from cynthus.environments.refusal import LayerRefused

_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 256 * 1024
_FIRST_WINDOW = 8 * 1024
_GZIP_WINDOW = 31


class LayerStream:
    """Reads on and on; `diff_id` is known once `drain` has been called."""

    def __init__(self, pieces: Iterable[bytes] | BinaryIO, most_bytes: int) -> None:
        self._pieces = _uncompressed(_read_in_pieces(pieces))
        self._hash = hashlib.sha256()
        self._view = memoryview(b"")
        self._left = most_bytes
        self._most = most_bytes

    @property
    def diff_id(self) -> str:
        """Of everything read so far."""
        return f"sha256:{self._hash.hexdigest()}"

    @property
    def size(self) -> int:
        """Bytes that came out so far."""
        return self._most - self._left

    def exactly(self, count: int) -> bytes:
        """Raises LayerRefused when the layer ends before."""
        view = self._view
        if len(view) >= count:
            self._view = view[count:]
            return bytes(view[:count])
        return b"".join(self.parts(count))

    def parts(self, count: int) -> Iterator[memoryview]:
        """The next `count` bytes as they come. Raises LayerRefused when the layer ends before."""
        while count:
            if not self._view and not self._more():
                raise LayerRefused("the layer ends in the middle of an entry")
            part = self._view[:count]
            self._view = self._view[len(part) :]
            count -= len(part)
            yield part

    def drain(self) -> None:
        """To the end, where nothing but zeros may be. Raises LayerRefused."""
        while self._view or self._more():
            if any(self._view):
                raise LayerRefused("the layer goes on after its end")
            self._view = self._view[:0]

    def _more(self) -> bool:
        for piece in self._pieces:
            self._left -= len(piece)
            if self._left < 0:
                raise LayerRefused(f"the layer unpacks to more than {self._most} bytes")
            self._hash.update(piece)
            self._view = memoryview(piece)
            if piece:
                return True
        return False


def _read_in_pieces(source: Iterable[bytes] | BinaryIO) -> Iterator[bytes]:
    if hasattr(source, "read"):
        file = cast("BinaryIO", source)
        return iter(lambda: file.read(_PIECE_BYTES), b"")
    return iter(source)


def _uncompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= len(_GZIP):
            break
    if head.startswith(_GZIP):
        yield from _gunzipped(head, pieces)
    else:
        yield head
        yield from pieces


def _gunzipped(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """One member after another; small windows at first, for what follows a member is copied by zlib."""
    member, window = zlib.decompressobj(_GZIP_WINDOW), _FIRST_WINDOW
    data, position, fresh = memoryview(head), 0, True
    try:
        while True:
            while position < len(data):
                given = data[position : position + window]
                position += len(given)
                fresh = False
                yield member.decompress(given, _PIECE_BYTES)
                while member.unconsumed_tail and not member.eof:
                    yield member.decompress(member.unconsumed_tail, _PIECE_BYTES)
                if member.eof:
                    position -= len(member.unused_data)
                    member, window, fresh = zlib.decompressobj(_GZIP_WINDOW), _FIRST_WINDOW, True
                else:
                    window = min(window * 2, _PIECE_BYTES)
            piece = next(pieces, None)
            if piece is None:
                break
            data, position = memoryview(piece), 0
    except zlib.error as error:
        raise LayerRefused(f"the layer is no gzip: {error}") from error
    if not fresh:
        raise LayerRefused("the layer ends in the middle of a gzip member")
