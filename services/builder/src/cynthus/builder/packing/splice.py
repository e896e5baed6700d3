"""From a zip into a layer: deflate streams are copied, and inflated only to be checked and hashed."""

import zlib
from collections.abc import Iterator

from cynthus.builder.packing import tar
from cynthus.builder.packing.deflate import stored
from cynthus.builder.packing.hashing import Digest
from cynthus.builder.packing.members import LayerWriter
from cynthus.builder.packing.zips import CHUNK, STORED, Member, Zip


def splice(archive: Zip, member: Member, path: str, mode: int, layer: LayerWriter) -> Digest:
    """Adds the file at `path`; its SHA-256. Raises WheelRefused."""
    layer.write(tar.file(path, member.size, mode))
    digest = layer.hashing.new()
    if member.size == 0:
        for _ in content(archive, member):
            pass
        return digest
    layer.begin_stream()
    if member.method == STORED:
        for block in stored(_hashed(content(archive, member), layer, digest)):
            layer.stream(block)
    else:
        for chunk in content(archive, member, layer):
            layer.plain(chunk)
            digest.update(chunk)
    layer.end_stream(member.crc, member.size)
    layer.write(tar.padding(member.size))
    return digest


def content(archive: Zip, member: Member, layer: LayerWriter | None = None) -> Iterator[bytes]:
    """A member's content, checked; its packed bytes go to `layer` on the way. Raises WheelRefused."""
    crc, size = 0, 0
    for chunk in _plain(archive, member, layer):
        size += len(chunk)
        if size > member.size:
            raise archive.refused(f"{member.name!r} is longer than it says")
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if size != member.size or crc != member.crc:
        raise archive.refused(f"{member.name!r} is damaged: its checksum or its size is another")


def _plain(archive: Zip, member: Member, layer: LayerWriter | None) -> Iterator[bytes]:
    if member.method == STORED:
        yield from archive.packed(member)
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for packed in archive.packed(member):
            if layer is not None:
                layer.stream(packed)
            left = packed
            while True:
                plain = inflater.decompress(left, CHUNK)
                left = inflater.unconsumed_tail
                if plain:
                    yield plain
                if len(plain) < CHUNK and not left:
                    break
            if inflater.unused_data:
                break
    except zlib.error as error:
        raise archive.refused(f"{member.name!r} is damaged: {error}") from error
    if not inflater.eof or inflater.unused_data:
        raise archive.refused(f"{member.name!r} is damaged: its stream does not end where it says")


def _hashed(chunks: Iterator[bytes], layer: LayerWriter, digest: Digest) -> Iterator[bytes]:
    for chunk in chunks:
        layer.plain(chunk)
        digest.update(chunk)
        yield chunk
