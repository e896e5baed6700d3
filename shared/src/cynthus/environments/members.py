"""The entries of a tar, read strictly: what has two meanings has none."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cynthus.environments.refusal import LayerRefused, Limits
from cynthus.environments.stream import LayerStream

BLOCK = 512
_ZEROS = bytes(BLOCK)
_MOST_HEADER_BYTES = 64 * 1024
_MOST_NAME_BYTES = 255
_SIGN_BIT = 0x80
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_RECORD = re.compile(rb"([1-9]\d{0,5}) ([^=\0]+)=")
_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hard link", b"2": "link", b"5": "folder"}
_FORBIDDEN = {b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}
_MEANT_FOR_ONE = frozenset({"path", "linkpath", "size"})


class Member(NamedTuple):
    """An entry: `parts` of its path, `size` bytes of content to be read before the next one."""

    kind: str
    parts: tuple[str, ...]
    size: int
    executable: bool
    target: str

    @property
    def path(self) -> str:
        """As people write it."""
        return "/".join(self.parts)


def members(stream: LayerStream, limits: Limits) -> Iterator[Member]:
    """Every entry in order; read its content from the stream before asking for the next one.

    Raises LayerRefused.
    """
    left = limits.entries
    extended: dict[str, str] = {}
    while (header := stream.exactly(BLOCK)) != _ZEROS:
        left -= 1
        if left < 0:
            raise LayerRefused(f"the layer has more than {limits.entries} entries")
        kind, size = _checked(header), _number(header[124:136])
        if kind in b"xgLK":
            _extend(extended, kind, _content(stream, size))
            continue
        member = _member(header, kind, size, extended, limits)
        extended = {}
        yield member
        stream.exactly(-member.size % BLOCK)
    if extended or stream.exactly(BLOCK) != _ZEROS:
        raise LayerRefused("the layer has no end")


def _checked(header: bytes) -> bytes:
    if sum(header[:148]) + sum(header[156:]) + 8 * 32 != _number(header[148:156]):
        raise LayerRefused("an entry's header is damaged")
    kind = header[156:157]
    if kind in _FORBIDDEN:
        raise LayerRefused(f"{_text(header[:100])!r} is {_FORBIDDEN[kind]}")
    if kind not in _KINDS and kind not in b"xgLK":
        raise LayerRefused(f"{_text(header[:100])!r} is of the unknown kind {kind!r}")
    return kind


def _member(header: bytes, kind: bytes, size: int, extended: Mapping[str, str], limits: Limits) -> Member:
    name = extended.get("path")
    if name is None:
        prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
        name = _text(header[:100])
        name = f"{prefix}/{name}" if prefix else name
    what = _KINDS[kind]
    if what == "file" and name.endswith("/"):
        what = "folder"
    if "size" in extended:
        if not re.fullmatch(r"\d{1,15}", extended["size"]):
            raise LayerRefused(f"{name!r} has the size {extended['size']!r}")
        size = int(extended["size"])
    if size and what != "file":
        raise LayerRefused(f"{name!r} is a {what} with content")
    target = extended.get("linkpath", _text(header[157:257])) if what in {"link", "hard link"} else ""
    executable = bool(_number(header[100:108]) & 0o111)
    return Member(what, parts_of(name, limits), size, executable, target)


def parts_of(name: str, limits: Limits) -> tuple[str, ...]:
    """The parts of a path that stays inside. Raises LayerRefused."""
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise LayerRefused(f"{name[:200]!r} is outside the layer")
    lengths = [len(os.fsencode(part)) for part in parts]
    if sum(lengths) + len(parts) > limits.path_bytes or max(lengths, default=0) > _MOST_NAME_BYTES:
        raise LayerRefused(f"the path {name[:200]!r}... is too long")
    return parts


def _content(stream: LayerStream, size: int) -> bytes:
    if size > _MOST_HEADER_BYTES:
        raise LayerRefused(f"an extended header of {size} bytes")
    return stream.exactly(size + -size % BLOCK)[:size]


def _extend(extended: dict[str, str], kind: bytes, content: bytes) -> None:
    if kind in b"LK":
        extended["path" if kind == b"L" else "linkpath"] = _text(content)
        return
    records = _records(content)
    if any(name.startswith("GNU.sparse") for name in records):
        raise LayerRefused("the layer has a sparse file")
    if kind == b"x":
        extended.update({name: records[name] for name in records.keys() & _MEANT_FOR_ONE})
    elif records.keys() & _MEANT_FOR_ONE:
        raise LayerRefused("a global header gives every entry one name or size")


def _records(content: bytes) -> dict[str, str]:
    """The records of an extended header, each of which says how long it is."""
    found: dict[str, str] = {}
    position = 0
    while position < len(content):
        match = _RECORD.match(content, position)
        end = position + int(match[1]) if match else 0
        if match is None or end > len(content) or end <= match.end() - 1 or content[end - 1 : end] != b"\n":
            raise LayerRefused("an extended header lies about its length")
        name = match[2].decode("utf-8", "surrogateescape")
        found[name] = content[match.end() : end - 1].decode("utf-8", "surrogateescape")
        position = end
    return found


def _number(field: bytes) -> int:
    if field[0] == _SIGN_BIT:
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match:
        return int(match[1], 8)
    if field.strip(b" \0"):
        raise LayerRefused(f"{field!r} is no number")
    return 0


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
