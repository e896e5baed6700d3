"""What a run leaves in its output folder, as a snapshot: hashed, and only what is missing sent."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from cynthus.snapshots import frames, manifest
from cynthus.snapshots.manifest import CHUNK_BYTES, Entry
from cynthus.worker.content import Piece, insist
from cynthus.worker.control import Control, Dropped
from cynthus.worker.found import Found, Identity, identity
from cynthus.worker.link import Link, Refused, Request

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 2
_INLINE_BYTES = 4 * 1024 * 1024
_ASK_DIGESTS = 10_000
_BATCH_BYTES = 8 * 1024 * 1024
_TIMEOUT_S = 60.0
_DROPPING = frozenset({401, 403, 409, 410})
_MISSING = "blobs_missing"

Hashed = tuple[Entry, list[Piece]]
Known = dict[str, tuple[Identity, Hashed]]
"""Files that were hashed before, by name: one that has not changed is not read again."""


class Snapshot(NamedTuple):
    """A folder, hashed."""

    found: Found
    body: bytes
    digest: str
    pieces: dict[str, Piece]
    parallel: bool


class Outputs:
    """Commits what was found. `check` is asked before each call, and raises to end it all."""

    def __init__(
        self,
        link: Link,
        url: str,
        token: str,
        control: Control,
        give_up_s: float,
        *,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._link = link
        self._url = url
        self._token = token
        self._control = control
        self._give_up_s = give_up_s
        self._check = check or control.check_ours

    def commit(self, found: Found) -> str | None:
        """The snapshot's digest; None for an empty folder. Raises Refused, PlatformAway, Dropped, OSError."""
        if found.empty:
            return None
        made = self.hash(found, {})
        self.upload(made)
        return made.digest

    def hash(self, found: Found, known: Known) -> Snapshot:
        """Raises OSError, and what `check` raises."""
        parallel = found.size > _INLINE_BYTES

        def one(item: tuple[str, os.stat_result]) -> tuple[str, Identity, Hashed]:
            name, status = item
            before, hashed = known.get(name, (None, None))
            if hashed is None or before != identity(status):
                hashed = _hashed(found, name, status, self._check)
            return name, identity(status), hashed

        entries, pieces, fresh = list(found.rest), dict[str, Piece](), Known()
        for name, now, (entry, parts) in _each(one, found.files.items(), parallel=parallel):
            entries.append(entry)
            pieces.update((piece.digest, piece) for piece in parts)
            fresh[name] = (now, (entry, parts))
        known.clear()
        known.update(fresh)
        body = b"".join(manifest.encode(entries))
        return Snapshot(found, body, manifest.digest([body]), pieces, parallel)

    def upload(self, made: Snapshot) -> None:
        """Raises Refused, PlatformAway, Dropped, OSError."""
        self._upload(made, self._missing(list(made.pieces)))
        url = f"{self._url}/snapshots/{made.digest}"
        request = Request("PUT", url, self._token, body=made.body, timeout_s=_TIMEOUT_S)
        try:
            self._send(request)
        except Refused as refusal:
            if refusal.problem.get("code") != _MISSING:
                raise
            self._upload(made, list(made.pieces))
            self._send(request)

    def _missing(self, digests: list[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(digests), _ASK_DIGESTS):
            body = json.dumps({"digests": digests[start : start + _ASK_DIGESTS]}).encode()
            url = f"{self._url}/blobs:missing"
            answer = self._send(Request("POST", url, self._token, body=body, timeout_s=_TIMEOUT_S))
            found += json.loads(answer)["missing"]
        return found

    def _upload(self, made: Snapshot, missing: list[str]) -> None:
        small, large = list[list[Piece]](), list[Piece]()
        room = 0
        for piece in (made.pieces[digest] for digest in missing):
            if piece.size > frames.MAX_BLOB_BYTES:
                large.append(piece)
                continue
            if piece.size > room or not small:
                small.append([])
                room = _BATCH_BYTES
            small[-1].append(piece)
            room -= piece.size
        for _ in _each(lambda batch: self._put_small(made.found, batch), small, parallel=made.parallel):
            pass
        for _ in _each(lambda piece: self._put_large(made.found, piece), large, parallel=made.parallel):
            pass

    def _put_small(self, found: Found, batch: list[Piece]) -> None:
        body = b"".join(frames.pack(b"".join(_read(found, piece)) for piece in batch))
        url = f"{self._url}/blobs:put"
        kind = frames.MEDIA_TYPE
        self._send(Request("POST", url, self._token, body=body, content_type=kind, timeout_s=_TIMEOUT_S))

    def _put_large(self, found: Found, piece: Piece) -> None:
        self._send(
            Request(
                "PUT",
                f"{self._url}/blobs/{piece.digest}",
                self._token,
                content_type="application/octet-stream",
                pieces=lambda: _read(found, piece),
                length=piece.size,
                timeout_s=_TIMEOUT_S,
            )
        )

    def _send(self, request: Request) -> bytes:
        control = self._control
        try:
            return insist(control, lambda: self._link.send(request), self._give_up_s, self._check)
        except Refused as refusal:
            if refusal.status in _DROPPING and refusal.problem.get("code") != _MISSING:
                control.drop("fenced")
                raise Dropped("fenced") from refusal
            raise


def _hashed(found: Found, name: str, status: os.stat_result, check: Callable[[], None]) -> Hashed:
    parts = list[Piece]()
    for offset in range(0, status.st_size, CHUNK_BYTES):
        check()
        hasher, size = hashlib.sha256(), min(CHUNK_BYTES, status.st_size - offset)
        for data in found.read(name, offset, size):
            hasher.update(data)
        parts.append(Piece(hasher.hexdigest(), size, name, offset))
    executable = bool(status.st_mode & stat.S_IXUSR)
    return Entry(name, status.st_size, executable, tuple(part.digest for part in parts)), parts


def _read(found: Found, piece: Piece) -> Iterator[bytes]:
    return found.read(piece.path, piece.offset, piece.size)


def _each(call: Callable[[Item], Result], items: Iterable[Item], *, parallel: bool) -> Iterator[Result]:
    if not parallel:
        yield from map(call, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(call, items)
