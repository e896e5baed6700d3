"""Deflate streams made here, because those of zlib differ between its versions and its rivals."""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

STORED_BLOCK = 65_535
STORED_END = b"\x01\x00\x00\xff\xff"

_RUNS = re.compile(rb"(\0{4,}|0{4,})")
_LONGEST_MATCH, _SHORTEST_MATCH = 258, 3
_FURTHEST = 32_768
_WORTH = 5
_FIELDS = (100, 124, 136, 156, 512)
"""Of a tar header, after the name: mode and owner, size, time and sum, the rest; alike in many."""


def compact(records: Sequence[bytes]) -> bytes:
    """One whole stream of ASCII records: what begins like the one before, and runs of zeros, is squeezed.

    Made for tar headers and the lines of a RECORD, which it encodes at the speed of big integers.
    """
    out = bytearray()
    bits, held = 0b011, 3  # the last block, with fixed codes
    before = b""
    for record in records:
        for code, length in _encoded(record, before):
            bits |= code << held
            held += length
        before = record
        whole = bits.to_bytes((held + 7) >> 3, "little")
        held &= 7
        out += whole[:-1] if held else whole
        bits = whole[-1] if held else 0
    held += 7  # the end-of-block code is seven zeros
    out += bits.to_bytes((held + 7) // 8, "little")
    return bytes(out)


def _encoded(record: bytes, before: bytes) -> Iterator[tuple[int, int]]:
    """Bits, lowest first, and how many."""
    same = _same(record, before) if 0 < len(before) <= _FURTHEST else 0
    if same >= _WORTH:
        yield _copies(same, len(before))
    else:
        same = 0
    if len(record) != _FIELDS[-1] or same > _FIELDS[0]:
        yield _squeezed(record[same:])
        return
    yield _squeezed(record[same : _FIELDS[0]])
    for start, end in pairwise(_FIELDS):
        yield _field(record[start:end])


@lru_cache(4096)
def _field(data: bytes) -> tuple[int, int]:
    return _squeezed(data)


def _squeezed(data: bytes) -> tuple[int, int]:
    bits, held, run = 0, 0, False
    for piece in _RUNS.split(data):
        if run:
            code, length = _run(piece[0], len(piece))
        else:
            code, length = int.from_bytes(piece.translate(_LITERALS), "little"), 8 * len(piece)
        bits |= code << held
        held += length
        run = not run
    return bits, held


def _same(one: bytes, other: bytes) -> int:
    """How many bytes they begin with in common."""
    length = min(len(one), len(other))
    unlike = int.from_bytes(one[:length], "little") ^ int.from_bytes(other[:length], "little")
    return ((unlike & -unlike).bit_length() - 1) // 8 if unlike else length


def stored(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One whole stream without compression, the same however the content is cut into chunks."""
    for piece in pieces(chunks):
        yield stored_block(piece)
    yield STORED_END


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of STORED_BLOCK; the last may be shorter."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= STORED_BLOCK:
            data, whole = b"".join(held), size - size % STORED_BLOCK
            yield from (data[at : at + STORED_BLOCK] for at in range(0, whole, STORED_BLOCK))
            held, size = [data[whole:]], size - whole
    if size:
        yield b"".join(held)


def stored_block(data: bytes) -> bytes:
    """At most STORED_BLOCK bytes, and not the last block."""
    return b"\x00" + struct.pack("<HH", len(data), len(data) ^ 0xFFFF) + data


def _reversed(code: int, length: int) -> int:
    return int(f"{code:0{length}b}"[::-1], 2)


@lru_cache(4096)
def _run(byte: int, count: int) -> tuple[int, int]:
    """Of one byte: it, and copies of it."""
    copies, length = _copies(count - 1, 1)
    return _LITERALS[byte] | copies << 8, 8 + length


@lru_cache(4096)
def _copies(count: int, distance: int) -> tuple[int, int]:
    """Of `count` bytes from `distance` back."""
    bits, held = 0, 0
    while count:
        take = min(count, _LONGEST_MATCH)
        if 0 < count - take < _SHORTEST_MATCH:
            take = count - _SHORTEST_MATCH
        for code, length in (_length(take), _distance(distance)):
            bits |= code << held
            held += length
        count -= take
    return bits, held


def _length(length: int) -> tuple[int, int]:
    """RFC 1951, 3.2.5 and 3.2.6: the code of a length from 3 to 258, and its extra bits."""
    if length == _LONGEST_MATCH:
        symbol, extra, extra_bits = 285, 0, 0
    else:
        step, extra, extra_bits = _stepped(length - _SHORTEST_MATCH, 2)
        symbol = 257 + step
    if symbol < 280:  # noqa: PLR2004 (RFC 1951, 3.2.6)
        code, width = _reversed(symbol - 256, 7), 7
    else:
        code, width = _reversed(0xC0 + symbol - 280, 8), 8
    return code | extra << width, width + extra_bits


def _distance(distance: int) -> tuple[int, int]:
    """The code of a distance from 1 to 32768, and its extra bits."""
    step, extra, extra_bits = _stepped(distance - 1, 1)
    return _reversed(step, 5) | extra << 5, 5 + extra_bits


def _stepped(value: int, fine: int) -> tuple[int, int, int]:
    """The step a value is in, its place in the step, and the bits of that; 2**fine steps per power of two."""
    bits = max(0, value.bit_length() - fine - 1)
    return (bits << fine) + (value >> bits), value & ((1 << bits) - 1), bits


_LITERALS = bytes(_reversed(0x30 + byte, 8) if byte < 144 else 0 for byte in range(256))  # noqa: PLR2004
