"""Send snapshots: only the blobs that the platform does not have, many small ones at a time."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cynthus.cli.client.api import Api
from cynthus.cli.client.connection import Pieces
from cynthus.cli.client.problems import Refused
from cynthus.cli.source.hashing import FileChanged
from cynthus.cli.source.snapshot import Piece, Snapshot
from cynthus.cli.transfer.crew import carry
from cynthus.cli.transfer.progress import Progress
from cynthus.snapshots.frames import MAX_BLOB_BYTES, MEDIA_TYPE

_ASK = 10_000
_FRAME_BYTES = 8 * 1024 * 1024
_FRAME_HEAD = 40
_BUFFER = 256 * 1024
_READ = 1024 * 1024
_THREADS = 6
_ROUNDS = 3
_GONE = frozenset({409})


@dataclass(frozen=True, slots=True)
class Sent:
    """What really went over the wire."""

    blobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Blob:
    digest: str
    piece: Piece


def upload(api: Api, snapshots: Sequence[Snapshot], *, progress: Progress, tick: Callable[[], None]) -> Sent:
    """Make snapshots whole on the platform; nothing is asked for those that are. Raises FileChanged."""
    for snapshot in snapshots:
        if not api.has_snapshot(snapshot.digest):
            _upload_one(api, snapshot, progress, tick)
    return Sent(progress.pieces, progress.bytes)


def _upload_one(api: Api, snapshot: Snapshot, progress: Progress, tick: Callable[[], None]) -> None:
    path = f"/v1/snapshots/{snapshot.digest}"
    manifest = snapshot.manifest()
    headers = {"Content-Type": "application/jsonl"}
    for last in (False,) * (_ROUNDS - 1) + (True,):
        blobs = list(_missing(api, snapshot, tick))
        progress.expect(len(blobs), sum(blob.piece.length for blob in blobs))
        carry(_tasks(blobs), lambda task: _send(api, task, progress), threads=_THREADS, tick=tick)
        # A blob may be cleaned up between the question and the manifest: then it is asked again.
        accept = frozenset() if last else _GONE
        answer = api.connection.request("PUT", path, body=manifest, headers=headers, accept=accept)
        if answer.status not in _GONE:
            return


def _missing(api: Api, snapshot: Snapshot, tick: Callable[[], None]) -> Iterator[_Blob]:
    places = dict(snapshot.pieces())
    digests = list(places)
    for start in range(0, len(digests), _ASK):
        for digest in api.missing(digests[start : start + _ASK]):
            yield _Blob(digest, places[digest])
        tick()


def _tasks(blobs: Sequence[_Blob]) -> Iterator[list[_Blob]]:
    """Large blobs alone and first, small ones together."""
    small = [blob for blob in blobs if blob.piece.length <= MAX_BLOB_BYTES]
    yield from ([blob] for blob in blobs if blob.piece.length > MAX_BLOB_BYTES)
    batch: list[_Blob] = []
    weight = 0
    for blob in small:
        cost = blob.piece.length + _FRAME_HEAD
        if weight + cost > _FRAME_BYTES:
            yield batch
            batch, weight = [], 0
        batch.append(blob)
        weight += cost
    if batch:
        yield batch


def _send(api: Api, blobs: list[_Blob], progress: Progress) -> None:
    size = sum(blob.piece.length for blob in blobs)
    if len(blobs) == 1 and size > MAX_BLOB_BYTES:
        _send_large(api, blobs[0])
    else:
        body = Pieces(size + _FRAME_HEAD * len(blobs), lambda: _buffered(_frames(blobs)))
        api.connection.request("POST", "/v1/blobs:put", body=body, headers={"Content-Type": MEDIA_TYPE})
    progress.add(len(blobs), size)


def _send_large(api: Api, blob: _Blob) -> None:
    body = Pieces(blob.piece.length, lambda: _read(blob))
    headers = {"Content-Type": "application/octet-stream"}
    try:
        api.connection.request("PUT", f"/v1/blobs/{blob.digest}", body=body, headers=headers)
    except Refused as refused:
        if refused.code == "digest_mismatch":
            raise FileChanged(blob.piece.path) from refused
        raise


def _frames(blobs: Sequence[_Blob]) -> Iterator[bytes]:
    for blob in blobs:
        content = b"".join(_read(blob))
        digest = hashlib.sha256(content)
        if digest.hexdigest() != blob.digest:
            raise FileChanged(blob.piece.path)
        yield digest.digest() + len(content).to_bytes(8, "big")
        yield content


def _buffered(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Fewer, larger writes: a frame of tiny files would otherwise be as many packets."""
    buffer = bytearray()
    for part in parts:
        buffer += part
        if len(buffer) >= _BUFFER:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _read(blob: _Blob) -> Iterator[bytes]:
    try:
        descriptor = os.open(blob.piece.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise FileChanged(blob.piece.path) from error
    try:
        offset, end = blob.piece.offset, blob.piece.offset + blob.piece.length
        while offset < end:
            content = os.pread(descriptor, min(_READ, end - offset), offset)
            if not content:
                raise FileChanged(blob.piece.path)
            yield content
            offset += len(content)
    finally:
        os.close(descriptor)
