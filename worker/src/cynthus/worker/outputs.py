"""What a run leaves in its output folder, as a snapshot: hashed, and only what is missing sent."""

import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from cynthus.snapshots import frames, manifest
from cynthus.snapshots.manifest import CHUNK_BYTES, Entry
from cynthus.worker.content import Piece, insist
from cynthus.worker.control import Control, Dropped
from cynthus.worker.link import Link, Refused, Request

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 2
_INLINE_BYTES = 4 * 1024 * 1024
_ASK_DIGESTS = 10_000
_BATCH_BYTES = 8 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_TIMEOUT_S = 60.0
_DROPPING = frozenset({401, 403, 409, 410})
_MISSING = "blobs_missing"


class Found:
    """What is in an output folder; `skipped` says why something cannot be part of the result."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.files: dict[str, os.stat_result] = {}
        self.rest: list[Entry] = []
        self.skipped: list[str] = []
        self._walk("")

    @property
    def empty(self) -> bool:
        """No file and no link."""
        return not self.files and all(entry.folder for entry in self.rest)

    def _walk(self, path: str) -> bool:
        """True when there was anything in the folder."""
        try:
            entries = sorted(os.scandir(f"{self.folder}/{path}"), key=lambda entry: entry.name)
        except OSError as error:
            if path or not isinstance(error, FileNotFoundError):
                self.skipped.append(f"{path or '.'}: {error.strerror}")
            return True
        for entry in entries:
            name = f"{path}/{entry.name}" if path else entry.name
            if not _encodable(name):
                self.skipped.append(f"{name!a}: its name is not UTF-8")
            elif entry.is_dir(follow_symlinks=False):
                if not self._walk(name):
                    self.rest.append(Entry(name, folder=True))
            else:
                self._take(name, entry.stat(follow_symlinks=False))
        return bool(entries)

    def _take(self, name: str, status: os.stat_result) -> None:
        if stat.S_ISLNK(status.st_mode):
            target = self._inside(name)
            if target is None:
                self.skipped.append(f"{name}: a link that leaves the output folder")
            else:
                self.rest.append(Entry(name, link=target))
        elif not stat.S_ISREG(status.st_mode):
            self.skipped.append(f"{name}: not a file")
        elif not os.access(f"{self.folder}/{name}", os.R_OK):
            self.skipped.append(f"{name}: not readable")
        else:
            self.files[name] = status

    def _inside(self, name: str) -> str | None:
        target = os.readlink(f"{self.folder}/{name}")
        here = posixpath.dirname(f"{self.folder}/{name}")
        absolute = posixpath.normpath(posixpath.join(here, target))
        if not absolute.startswith(f"{self.folder}/") or not _encodable(target):
            return None
        return posixpath.relpath(absolute, here) if target.startswith("/") else target


class Outputs:
    """Commits what was found."""

    def __init__(self, link: Link, url: str, token: str, control: Control, give_up_s: float) -> None:
        self._link = link
        self._url = url
        self._token = token
        self._control = control
        self._give_up_s = give_up_s

    def commit(self, found: Found) -> str | None:
        """The snapshot's digest; None for an empty folder. Raises Refused, PlatformAway, Dropped, OSError."""
        if found.empty:
            return None
        parallel = sum(status.st_size for status in found.files.values()) > _INLINE_BYTES
        hashed = _each(lambda item: _hashed(found.folder, *item), found.files.items(), parallel=parallel)
        entries, pieces = list(found.rest), dict[str, Piece]()
        for entry, parts in hashed:
            entries.append(entry)
            pieces.update((piece.digest, piece) for piece in parts)
        body = b"".join(manifest.encode(entries))
        digest = manifest.digest([body])
        self._upload(self._missing(list(pieces)), pieces, parallel=parallel)
        request = Request(
            "PUT", f"{self._url}/snapshots/{digest}", self._token, body=body, timeout_s=_TIMEOUT_S
        )
        try:
            self._send(request)
        except Refused as refusal:
            if refusal.problem.get("code") != _MISSING:
                raise
            self._upload(list(pieces), pieces, parallel=parallel)
            self._send(request)
        return digest

    def _missing(self, digests: list[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(digests), _ASK_DIGESTS):
            body = json.dumps({"digests": digests[start : start + _ASK_DIGESTS]}).encode()
            url = f"{self._url}/blobs:missing"
            answer = self._send(Request("POST", url, self._token, body=body, timeout_s=_TIMEOUT_S))
            found += json.loads(answer)["missing"]
        return found

    def _upload(self, missing: list[str], pieces: dict[str, Piece], *, parallel: bool) -> None:
        small, large = list[list[Piece]](), list[Piece]()
        room = 0
        for piece in (pieces[digest] for digest in missing):
            if piece.size > frames.MAX_BLOB_BYTES:
                large.append(piece)
                continue
            if piece.size > room or not small:
                small.append([])
                room = _BATCH_BYTES
            small[-1].append(piece)
            room -= piece.size
        for _ in _each(self._put_small, small, parallel=parallel):
            pass
        for _ in _each(self._put_large, large, parallel=parallel):
            pass

    def _put_small(self, batch: list[Piece]) -> None:
        body = b"".join(frames.pack(b"".join(_read(piece)) for piece in batch))
        url = f"{self._url}/blobs:put"
        kind = frames.MEDIA_TYPE
        self._send(Request("POST", url, self._token, body=body, content_type=kind, timeout_s=_TIMEOUT_S))

    def _put_large(self, piece: Piece) -> None:
        self._send(
            Request(
                "PUT",
                f"{self._url}/blobs/{piece.digest}",
                self._token,
                content_type="application/octet-stream",
                pieces=lambda: _read(piece),
                length=piece.size,
                timeout_s=_TIMEOUT_S,
            )
        )

    def _send(self, request: Request) -> bytes:
        control = self._control
        try:
            return insist(control, lambda: self._link.send(request), self._give_up_s, control.check_ours)
        except Refused as refusal:
            if refusal.status in _DROPPING and refusal.problem.get("code") != _MISSING:
                control.drop("fenced")
                raise Dropped("fenced") from refusal
            raise


def _hashed(folder: str, name: str, status: os.stat_result) -> tuple[Entry, list[Piece]]:
    path, parts = f"{folder}/{name}", list[Piece]()
    with open(path, "rb", buffering=0) as file:
        for offset in range(0, status.st_size, CHUNK_BYTES):
            hasher, left = hashlib.sha256(), min(CHUNK_BYTES, status.st_size - offset)
            size = left
            while left and (data := file.read(min(left, _READ_BYTES))):
                hasher.update(data)
                left -= len(data)
            parts.append(Piece(hasher.hexdigest(), size - left, path, offset))
    executable = bool(status.st_mode & stat.S_IXUSR)
    size = sum(part.size for part in parts)
    return Entry(name, size, executable, tuple(part.digest for part in parts)), parts


def _read(piece: Piece) -> Iterator[bytes]:
    with open(piece.path, "rb", buffering=0) as file:
        file.seek(piece.offset)
        left = piece.size
        while left and (data := file.read(min(left, _READ_BYTES))):
            left -= len(data)
            yield data


def _each(call: Callable[[Item], Result], items: Iterable[Item], *, parallel: bool) -> Iterator[Result]:
    if not parallel:
        yield from map(call, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(call, items)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
