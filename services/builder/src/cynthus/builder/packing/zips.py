"""A reader of zip files that trusts nothing: whatever its two tables disagree about is refused."""

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cynthus.builder.packing.layer import WheelRefused

MOST_ENTRIES = 100_000
MOST_BYTES = 32 * 1024**3
"""Of content."""
MOST_RATIO = 200
"""Content over archive, beyond _SMALL bytes of content."""
CHUNK = 1024 * 1024

STORED, DEFLATED = 0, 8

_SMALL = 256 * 1024 * 1024
_MOST_CENTRAL = 128 * 1024 * 1024
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x2041, 0x0008, 0x0800
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_UNICODE_PATH = 0x7075


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip; `start` is where its packed bytes begin."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int
    executable: bool


@dataclass(frozen=True, slots=True)
class _Listed:
    raw: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int


class Zip:
    """An open zip file: `members` are its files, checked against each other and against their own headers."""

    def __init__(self, path: Path, members: tuple[Member, ...] | None = None) -> None:
        """With `members` it was read before, and is not read again. Raises WheelRefused, OSError."""
        self._name = path.name
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._size = os.fstat(self._descriptor).st_size
            self.members = self._read() if members is None else members
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def packed(self, member: Member) -> Iterator[bytes]:
        """A member's bytes as they are in the archive."""
        offset, end = member.start, member.start + member.packed
        while offset < end:
            chunk = self._at(offset, min(CHUNK, end - offset))
            offset += len(chunk)
            yield chunk

    def refused(self, why: str) -> WheelRefused:
        """The error that names this archive."""
        return WheelRefused(self._name, why)

    def _at(self, offset: int, count: int) -> bytes:
        data = os.pread(self._descriptor, count, offset)
        while len(data) < count:
            more = os.pread(self._descriptor, count - len(data), offset + len(data))
            if not more:
                raise self.refused("it ends too early")
            data += more
        return data

    def _read(self) -> tuple[Member, ...]:
        start, count, central = self._central()
        listed = list(self._listed(central, count))
        if sum(entry.size for entry in listed) > max(_SMALL, MOST_RATIO * self._size):
            raise self.refused(f"its content would be more than {MOST_RATIO} times its size")
        if sum(entry.size for entry in listed) > MOST_BYTES:
            raise self.refused(f"its content would be more than {MOST_BYTES // 1024**3} GiB")
        members = []
        end = 0
        for entry in sorted(listed, key=lambda entry: entry.offset):
            if entry.offset < end:
                raise self.refused(f"{entry.name!r} overlaps another entry")
            data, end = self._located(entry)
            if end > start:
                raise self.refused(f"{entry.name!r} overlaps the table of contents")
            if not entry.name.endswith("/"):
                members.append(_member(entry, data))
        return tuple(members)

    def _central(self) -> tuple[int, int, bytes]:
        """Where the table of contents is, how many entries it has, and its bytes."""
        if self._size < _END.size:
            raise self.refused("it is no zip file")
        at = self._size - _END.size
        magic, disk, first, here, count, size, start, comment = _END.unpack(self._at(at, _END.size))
        if magic != b"PK\x05\x06" or comment:
            raise self.refused("it is no zip file, or is cut short, or has bytes after its end")
        if disk or first or here != count:
            raise self.refused("it is in several parts")
        if at >= _LOCATOR.size and self._at(at - _LOCATOR.size, 4) == b"PK\x06\x07":
            at, claimed = self._end64(at - _LOCATOR.size)
            for narrow, wide, full in zip(
                (count, size, start), claimed, (_FULL16, _FULL32, _FULL32), strict=True
            ):
                if narrow not in {wide, full}:
                    raise self.refused("its zip64 fields contradict the others")
            count, size, start = claimed
        if start + size != at or count > MOST_ENTRIES or size > _MOST_CENTRAL:
            raise self.refused("its table of contents is not where it says, or too long")
        return start, count, self._at(start, size)

    def _end64(self, at: int) -> tuple[int, tuple[int, int, int]]:
        _, disk, offset, disks = _LOCATOR.unpack(self._at(at, _LOCATOR.size))
        if disk or disks > 1 or offset + _END64.size != at:
            raise self.refused("its zip64 end is not where it says")
        magic, length, _, _, disk, first, here, count, size, start = _END64.unpack(
            self._at(offset, _END64.size)
        )
        if magic != b"PK\x06\x06" or length != _END64.size - 12 or disk or first or here != count:
            raise self.refused("its zip64 end is damaged")
        return offset, (count, size, start)

    def _listed(self, central: bytes, count: int) -> Iterator[_Listed]:
        position = 0
        for _ in range(count):
            if position + _CENTRAL.size > len(central):
                raise self.refused("its table of contents ends too early")
            (magic, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length,
             disk, _, attributes, offset) = _CENTRAL.unpack_from(central, position)  # fmt: skip
            name_at = position + _CENTRAL.size
            extra_at = name_at + name_length
            position = extra_at + extra_length + comment_length
            if magic != b"PK\x01\x02" or position > len(central) or disk:
                raise self.refused("its table of contents is damaged")
            raw = central[name_at:extra_at]
            name = self._name_of(raw, flags)
            wide = self._wide(name, central[extra_at : extra_at + extra_length], (size, packed, offset))
            yield _Listed(raw, name, flags, method, crc, wide[1], wide[0], wide[2], attributes >> 16)
        if position != len(central):
            raise self.refused("its table of contents has more entries than it says")

    def _name_of(self, raw: bytes, flags: int) -> str:
        try:
            return raw.decode("utf-8" if flags & _UTF8 else "cp437")
        except UnicodeDecodeError as error:
            raise self.refused(f"the name {raw!r} is not UTF-8") from error

    def _wide(self, name: str, extra: bytes, narrow: tuple[int, ...]) -> tuple[int, ...]:
        """The zip64 values of the fields that are full, in this order."""
        fields = self._extra(name, extra)
        if _UNICODE_PATH in fields:
            raise self.refused(f"{name!r} has a second name")
        if _FULL32 not in narrow:
            return narrow
        needed = narrow.count(_FULL32)
        found = fields.get(1, b"")
        if len(found) != 8 * needed:
            raise self.refused(f"{name!r} has no zip64 sizes where it needs them")
        values = iter(struct.unpack(f"<{needed}Q", found))
        return tuple(next(values) if field == _FULL32 else field for field in narrow)

    def _extra(self, name: str, extra: bytes) -> dict[int, bytes]:
        fields: dict[int, bytes] = {}
        at = 0
        while at + 4 <= len(extra):
            key, length = struct.unpack_from("<2H", extra, at)
            if at + 4 + length > len(extra) or (key == 1 and key in fields):
                raise self.refused(f"{name!r} has damaged extra fields")
            fields[key] = extra[at + 4 : at + 4 + length]
            at += 4 + length
        return fields

    def _located(self, entry: _Listed) -> tuple[int, int]:
        """Where an entry's bytes begin and where all of it ends, by its own header, which must agree."""
        self._check(entry)
        head = self._at(entry.offset, _LOCAL.size + len(entry.raw))
        (magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length) = _LOCAL.unpack_from(
            head
        )
        if magic != b"PK\x03\x04" or name_length != len(entry.raw) or head[_LOCAL.size :] != entry.raw:
            raise self.refused(f"{entry.name!r} has another name, or none, before its content")
        data = entry.offset + len(head) + extra_length
        if data + entry.packed > self._size:
            raise self.refused(f"{entry.name!r} is longer than the file")
        if _FULL32 in {packed, size}:
            extra = self._at(entry.offset + len(head), extra_length)
            size, packed = self._wide(entry.name, extra, (size, packed))
        mine, theirs = (entry.crc, entry.packed, entry.size), (crc, packed, size)
        later = bool(flags & _DESCRIPTOR)
        agree = all(there == here or (later and not there) for here, there in zip(mine, theirs, strict=True))
        if method != entry.method or (flags ^ entry.flags) & (_ENCRYPTED | _DESCRIPTOR | _UTF8) or not agree:
            raise self.refused(f"{entry.name!r} is described in two ways")
        end = data + entry.packed
        return data, end + self._descriptor_length(entry, end) if later else end

    def _descriptor_length(self, entry: _Listed, at: int) -> int:
        found = self._at(at, min(24, self._size - at))
        for sizes in ("<L2L", "<L2Q"):
            fields = struct.pack(sizes, entry.crc, entry.packed & _limit(sizes), entry.size & _limit(sizes))
            for descriptor in (b"PK\x07\x08" + fields, fields):
                if found.startswith(descriptor):
                    return len(descriptor)
        raise self.refused(f"{entry.name!r} is described in two ways")

    def _check(self, entry: _Listed) -> None:
        if entry.flags & _ENCRYPTED:
            raise self.refused(f"{entry.name!r} is encrypted")
        if entry.method not in {STORED, DEFLATED}:
            raise self.refused(f"{entry.name!r} is compressed by method {entry.method}, not deflate")
        if entry.method == STORED and entry.packed != entry.size:
            raise self.refused(f"{entry.name!r} is stored with two sizes")
        kind = stat.S_IFMT(entry.mode)
        if entry.name.endswith("/"):
            if entry.size or kind not in {0, stat.S_IFDIR}:
                raise self.refused(f"{entry.name!r} is a folder with content")
        elif kind not in {0, stat.S_IFREG}:
            raise self.refused(f"{entry.name!r} is a link or a device, not a file")


def _limit(sizes: str) -> int:
    return _FULL32 if sizes.endswith("L") else (1 << 64) - 1


def _member(entry: _Listed, start: int) -> Member:
    executable = bool(entry.mode & 0o111)
    return Member(entry.name, entry.method, entry.crc, entry.packed, entry.size, start, executable)
