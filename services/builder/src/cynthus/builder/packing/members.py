"""Layer files: tar bytes as gzip members, hashed both ways while they are written."""

import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cynthus.builder.packing import tar
from cynthus.builder.packing.deflate import compact, stored
from cynthus.builder.packing.hashing import Hashing
from cynthus.builder.packing.layer import Kind, PackedLayer

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_MOST_PENDING = 1024 * 1024


class LayerWriter:
    """Two kinds of members: small ones with what is written here, and streams taken over as they are.

    Small things wait, so that a header shares its member with the padding of the file before.
    """

    def __init__(self, file: BinaryIO, hashing: Hashing) -> None:
        self.hashing = hashing
        self._file = file
        self._packed = hashing.new()
        self._plain = hashing.new()
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def write(self, data: bytes) -> None:
        """Tar bytes of ours: a header, padding, a line of text; like ones one by one pack best."""
        if data:
            self._pending.append(data)
            self._pending_bytes += len(data)
            if self._pending_bytes > _MOST_PENDING:
                self._flush()

    def begin_stream(self) -> None:
        """A member of its own; then stream() and plain(), then end_stream()."""
        self._flush()
        self._out(_HEADER)

    def stream(self, deflated: bytes) -> None:
        """The next bytes of its deflate stream."""
        self._out(deflated)

    def plain(self, data: bytes) -> None:
        """The next bytes of its content."""
        self._plain.update(data)

    def end_stream(self, crc: int, size: int) -> None:
        """CRC-32 and size of its content."""
        self._out(struct.pack("<II", crc, size & 0xFFFFFFFF))

    def finish(self, path: Path, kind: Kind, package: str | None = None) -> PackedLayer:
        """The end of the archive; `path` is where the file will be."""
        self.write(tar.END)
        self._flush()
        self._file.flush()
        return PackedLayer(
            path=path,
            digest=f"sha256:{self._packed.digest().hex()}",
            size=self._file.tell(),
            diff_id=f"sha256:{self._plain.digest().hex()}",
            kind=kind,
            package=package,
        )

    def _flush(self) -> None:
        if self._pending:
            data = b"".join(self._pending)
            packed = compact(self._pending) if data.isascii() else b"".join(stored([data]))
            self._pending, self._pending_bytes = [], 0
            self._plain.update(data)
            self._out(_HEADER + packed + struct.pack("<II", zlib.crc32(data), len(data)))

    def _out(self, data: bytes) -> None:
        self._packed.update(data)
        self._file.write(data)


@contextmanager
def written(target: Path) -> Iterator[LayerWriter]:
    """A layer at `target`, visible when it is whole."""
    beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(descriptor, "wb", buffering=1024 * 1024) as file, Hashing() as hashing:
            yield LayerWriter(file, hashing)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
