"""What builds ask of a Docker engine, over its Unix socket. Blocking calls."""

import base64
import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlencode

from cynthus.containers.errors import EngineRefused, EngineUnavailable
from cynthus.containers.transport import UnixConnection

_QUICK_S = 30.0


class Calls:
    """The connections of one build, so that another thread can cut them."""

    def __init__(self) -> None:
        self._open: set[http.client.HTTPConnection] = set()
        self._cut = False

    @contextmanager
    def watched(self, connection: http.client.HTTPConnection) -> Iterator[None]:
        """While the body runs, `cut` ends the connection."""
        self._open.add(connection)
        try:
            if self._cut:
                raise EngineUnavailable("the build was given up")
            yield
        finally:
            self._open.discard(connection)

    def cut(self) -> None:
        """End every connection now, and refuse new ones; the engine stops what it did for them."""
        self._cut = True
        for connection in tuple(self._open):
            if (sock := connection.sock) is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class Engine:
    """A Docker engine by its socket. `calls` lets go of the long ones."""

    def __init__(self, path: Path, calls: Calls | None = None) -> None:
        self.path = path
        self._calls = calls or Calls()

    def ping(self) -> bool:
        """Whether it answers."""
        try:
            with self._request("GET", "/_ping", timeout=3.0):
                return True
        except (EngineUnavailable, EngineRefused):
            return False

    def inspect_image(self, name: str) -> dict[str, Any] | None:
        """What the engine knows of an image, or None."""
        try:
            with self._request("GET", f"/images/{quote(name)}/json", timeout=_QUICK_S) as response:
                return cast("dict[str, Any]", json.load(response))
        except EngineRefused as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    def pull(self, name: str, credentials: tuple[str, str] | None) -> None:
        """Fetch an image by name:tag or name@digest."""
        headers = {}
        if credentials is not None:
            login = json.dumps(dict(zip(("username", "password"), credentials, strict=True))).encode()
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(login).decode()
        path = "/images/create?" + urlencode({"fromImage": name})
        with self._request("POST", path, headers=headers) as response:
            for message in _messages(response):
                if "error" in message:
                    raise EngineRefused(http.client.NOT_FOUND, str(message["error"]))

    def build(self, context: Iterable[bytes], options: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The classic build of a tar; its messages as they come."""
        headers = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        with self._request("POST", "/build?" + urlencode(options), headers=headers, body=context) as response:
            yield from _messages(response)

    @contextmanager
    def export(self, name: str) -> Iterator[BinaryIO]:
        """An image as a docker-archive, streamed."""
        with self._request("GET", f"/images/{quote(name)}/get") as response:
            yield cast("BinaryIO", response)

    def remove_unused(self, label: str, older_than_s: int) -> None:
        """Remove nameless images with a label that are older than this, and what only they need."""
        filters = {"dangling": ["true"], "label": [label], "until": [f"{older_than_s}s"]}
        with self._request(
            "POST", "/images/prune?" + urlencode({"filters": json.dumps(filters)})
        ) as response:
            response.read()

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | None = None,
        timeout: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        connection = UnixConnection(str(self.path), timeout)
        try:
            with self._calls.watched(connection):
                response = _answer(connection, method, path, dict(headers or {}), body)
                if response.status >= http.client.BAD_REQUEST:
                    raise EngineRefused(response.status, _message(response.read()))
                yield response
        except (OSError, http.client.HTTPException) as error:
            raise EngineUnavailable(f"the engine at {self.path} broke off: {error}") from error
        finally:
            connection.close()


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    body: Iterable[bytes] | None,
) -> http.client.HTTPResponse:
    with suppress(BrokenPipeError):  # it may answer before it has read everything
        connection.request(method, path, body=body, headers=headers, encode_chunked=True)
    return connection.getresponse()


def _messages(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in response:
        with suppress(ValueError):
            message = json.loads(line)
            if isinstance(message, dict):
                yield message


def _message(body: bytes) -> str:
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(body)["message"])
    return body.decode(errors="replace")[:500]
