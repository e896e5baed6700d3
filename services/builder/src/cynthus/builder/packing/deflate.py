"""Deflate streams made here, because those of zlib differ between its versions and its rivals."""

import re
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache

STORED_BLOCK = 65_535
STORED_END = b"\x01\x00\x00\xff\xff"

_RUNS = re.compile(rb"(\0{8,})")
_LONGEST_MATCH, _SHORTEST_MATCH = 258, 3


def compact(data: bytes) -> bytes:
    """One whole stream: runs of zeros squeezed, the rest as it is. For tar headers and small ASCII texts."""
    if not data.isascii():
        return b"".join(stored([data]))
    out = bytearray()
    bits, held = 0b011, 3  # the last block, with fixed codes
    for number, piece in enumerate(_RUNS.split(data)):
        if number % 2:
            code, length = _zeros(len(piece))
        else:
            code, length = int.from_bytes(piece.translate(_LITERALS), "little"), 8 * len(piece)
        bits |= code << held
        held += length
        whole = held // 8
        out += (bits & ((1 << (8 * whole)) - 1)).to_bytes(whole, "little")
        bits >>= 8 * whole
        held -= 8 * whole
    held += 7  # the end-of-block code is seven zeros
    out += bits.to_bytes((held + 7) // 8, "little")
    return bytes(out)


def stored(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One whole stream without compression, the same however the content is cut into chunks."""
    for piece in pieces(chunks):
        yield stored_block(piece)
    yield STORED_END


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of STORED_BLOCK; the last may be shorter."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) >= STORED_BLOCK:
            whole = len(held) - len(held) % STORED_BLOCK
            ready = bytes(held[:whole])
            del held[:whole]
            yield from (ready[at : at + STORED_BLOCK] for at in range(0, whole, STORED_BLOCK))
    if held:
        yield bytes(held)


def stored_block(data: bytes) -> bytes:
    """At most STORED_BLOCK bytes, and not the last block."""
    return b"\x00" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data


def _reversed(code: int, length: int) -> int:
    return int(f"{code:0{length}b}"[::-1], 2)


@lru_cache(4096)
def _zeros(count: int) -> tuple[int, int]:
    """The bits, and how many, of a run of zeros: one, and copies of it."""
    bits, held = _reversed(0x30, 8), 8
    left = count - 1
    while left:
        take = min(left, _LONGEST_MATCH)
        if 0 < left - take < _SHORTEST_MATCH:
            take = left - _SHORTEST_MATCH
        code, length = _match(take)
        bits |= code << held
        held += length
        left -= take
    return bits, held


@lru_cache(512)
def _match(length: int) -> tuple[int, int]:
    """A copy of the last byte, 3 to 258 times: length code, extra bits, five zeros for distance 1."""
    if length == _LONGEST_MATCH:
        symbol, extra, extra_bits = 285, 0, 0
    elif length < 11:  # noqa: PLR2004 (RFC 1951, 3.2.5)
        symbol, extra, extra_bits = 254 + length, 0, 0
    else:
        above = length - _SHORTEST_MATCH
        extra_bits = above.bit_length() - 3
        symbol = 257 + 4 * extra_bits + (above >> extra_bits)
        extra = above & ((1 << extra_bits) - 1)
    if symbol < 280:  # noqa: PLR2004 (RFC 1951, 3.2.6)
        code, width = _reversed(symbol - 256, 7), 7
    else:
        code, width = _reversed(0xC0 + symbol - 280, 8), 8
    return code | extra << width, width + extra_bits + 5


_LITERALS = bytes(_reversed(0x30 + byte, 8) if byte < 144 else 0 for byte in range(256))  # noqa: PLR2004
