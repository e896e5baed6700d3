"""Manifests and blobs from the platform, verified on arrival."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from cynthus.snapshots import frames
from cynthus.worker.cache import Cache, write_all, written
from cynthus.worker.control import Control, Dropped
from cynthus.worker.link import Link, PlatformAway, Refused, Request, deadline, delays

Result = TypeVar("Result")

_MOST_DELAY_S = 2.0
_TIMEOUT_S = 30.0
_DROPPING = frozenset({401, 403, 409, 410})


class ContentMissing(Exception):
    """The platform has not got, or may not give, a blob or manifest of the order; or it is damaged."""


class Piece(NamedTuple):
    """A blob and where it goes: a file and an offset in it."""

    digest: str
    size: int
    path: str
    offset: int


class Content:
    """The content calls of the platform, for one attempt."""

    def __init__(self, link: Link, url: str, token: str, control: Control, give_up_s: float) -> None:
        self._link = link
        self._url = url
        self._token = token
        self._control = control
        self._give_up_s = give_up_s

    def manifest(self, digest: str, cache: Cache) -> list[bytes]:
        """The manifest's lines, from the cache when it is there."""
        name = digest.removeprefix("sha256:")
        path = cache.manifest(name)
        try:
            with open(path, "rb") as file:
                body = file.read()
        except FileNotFoundError:
            body = b""
        if hashlib.sha256(body).hexdigest() != name:
            body = self._get(f"snapshots/sha256:{name}", name)
            written(path, body, cache.fresh())
        return body.splitlines(keepends=True)

    def small(self, pieces: Iterable[Piece], receive: Callable[[Piece, bytes], None]) -> None:
        """Fetch blobs of at most 1 MiB in one request."""
        wanted: dict[str, list[Piece]] = {}
        for piece in pieces:
            wanted.setdefault(piece.digest, []).append(piece)
        body = json.dumps({"digests": list(wanted)}).encode()
        request = Request("POST", f"{self._url}/blobs:get", self._token, body=body, timeout_s=_TIMEOUT_S)

        def once() -> None:
            missing = set(wanted)
            for digest, data in frames.unpack(self._link.send(request)):
                missing.discard(digest)
                for piece in wanted.get(digest, ()):
                    receive(piece, _sized(piece, data))
            if missing:
                raise ContentMissing(f"blob {missing.pop()} was not in the answer")

        self._insist(once)

    def large(self, piece: Piece, descriptor: int, offset: int) -> None:
        """Fetch one blob into an open file at `offset`."""
        request = Request("GET", f"{self._url}/blobs/{piece.digest}", self._token, timeout_s=_TIMEOUT_S)

        def once() -> None:
            hasher, position = hashlib.sha256(), 0

            def receive(data: bytes) -> None:
                nonlocal position
                self._control.check()
                hasher.update(data)
                write_all(descriptor, data, offset + position)
                position += len(data)

            self._link.stream(request, receive)
            if position != piece.size or hasher.hexdigest() != piece.digest:
                raise PlatformAway(f"blob {piece.digest} arrived damaged")

        self._insist(once)

    def _get(self, path: str, name: str) -> bytes:
        request = Request("GET", f"{self._url}/{path}", self._token, timeout_s=_TIMEOUT_S)

        def once() -> bytes:
            body = self._link.send(request)
            if hashlib.sha256(body).hexdigest() != name:
                raise PlatformAway(f"{path} arrived damaged")
            return body

        return self._insist(once)

    def _insist(self, call: Callable[[], Result]) -> Result:
        try:
            return insist(self._control, call, self._give_up_s, self._control.check)
        except frames.FramesInvalid as error:
            raise ContentMissing(str(error)) from error
        except Refused as refusal:
            if refusal.status in _DROPPING:
                self._control.drop("fenced")
                raise Dropped("fenced") from refusal
            raise ContentMissing(str(refusal)) from refusal


def insist(
    control: Control,
    call: Callable[[], Result],
    give_up_s: float,
    check: Callable[[], None],
) -> Result:
    """Call again until the platform can be seen. Raises PlatformAway after `give_up_s`."""
    over = deadline(give_up_s)
    for delay in delays(0.05, _MOST_DELAY_S):
        check()
        try:
            return call()
        except PlatformAway:
            if over():
                raise
            control.pause(delay)
    raise AssertionError("delays never end")


def _sized(piece: Piece, data: bytes) -> bytes:
    if len(data) != piece.size:
        raise ContentMissing(
            f"blob {piece.digest} has {len(data)} bytes where the manifest says {piece.size}"
        )
    return data
