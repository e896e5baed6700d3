"""How blobs get into a registry: begun, sent as one or in chunks, finished; or mounted."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote

from cynthus.oci.connections import Body, Request, Response
from cynthus.oci.http_answers import Interrupted, elsewhere, problems, refusal, whole
from cynthus.oci.http_client import HttpClient
from cynthus.oci.ports import ContentDamaged, ContentUnknown, RegistryDenied, RegistryUnavailable
from cynthus.oci.verification import ended, exactly

_BYTES = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_NUMBER = re.compile(r"[0-9]{1,18}")
_LOST = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID"}
_WRONG = {"DIGEST_INVALID", "SIZE_INVALID"}


class ChunksRefused(Exception):
    """The registry takes a blob only as one."""


class Upload:
    """One upload session; `location` is where the next request of it goes."""

    def __init__(self, client: HttpClient, repository: str, begun: Response) -> None:
        self._client = client
        self._scope = client.scope(repository, "pull,push")
        self.location = ""
        self.smallest_chunk = _number(begun.headers.get("OCI-Chunk-Min-Length"))
        self._moved(begun)

    def send(self, size: int, digest: str, source: Callable[[], BinaryIO]) -> None:
        """All of a blob as one. Raises Interrupted, ContentDamaged."""
        self._finish(digest, Body(size, lambda: _opened(source, size)))

    def send_chunks(self, size: int, digest: str, source: Callable[[], BinaryIO], chunk_bytes: int) -> None:
        """A blob piece by piece, going on where a cut one ended. Raises Interrupted, ChunksRefused."""
        most = max(chunk_bytes, self.smallest_chunk)
        tries = self._client.tries("an upload")
        stream, offset = source(), 0
        try:
            while offset < size:
                length = min(most, size - offset)
                try:
                    reached = self._patch(stream, offset, length)
                    tries.succeeded()
                except Interrupted as error:
                    tries.again(error)
                    reached = self._reached()
                if reached != offset + length or tries.failed:
                    stream.close()
                    stream = _from(source, reached)
                offset = reached
            ended(stream)
        finally:
            stream.close()
        self._finish(digest, Body.of(b""))

    def cancel(self) -> None:
        """Let the registry forget it, if it will."""
        request = Request("DELETE", self.location, once=True)
        with suppress(Interrupted, RegistryDenied, RegistryUnavailable):
            self._client.attempt(request, self._scope).discard()

    def _patch(self, stream: BinaryIO, offset: int, length: int) -> int:
        headers = {**_BYTES, "Content-Range": f"{offset}-{offset + length - 1}"}
        body = Body(length, lambda: exactly(stream, length, last=False))
        response = self._client.attempt(
            Request("PATCH", self.location, headers, body, once=True), self._scope
        )
        if response.status not in {HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT, HTTPStatus.CREATED}:
            told = whole(response, 64 << 10)
            if response.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise refusal(response, "PATCH", told)
            if offset == 0:
                raise ChunksRefused
            raise Interrupted(f"a chunk is answered with {response.status}")
        response.discard()
        self._moved(response)
        return _end(response, offset + length)

    def _reached(self) -> int:
        response = self._client.attempt(Request("GET", self.location), self._scope)
        response.discard()
        reached = _end(response, 0)
        if response.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.ACCEPTED, HTTPStatus.OK} or reached <= 1:
            raise Interrupted("the upload is lost, it begins again")  # 0-0 says both: nothing, and one byte
        self._moved(response)
        return reached

    def _finish(self, digest: str, body: Body) -> None:
        mark = "&" if "?" in self.location else "?"
        address = f"{self.location}{mark}digest={quote(digest, safe='')}"
        request = Request("PUT", address, _BYTES, body, once=True)
        response = self._client.attempt(request, self._scope)
        told = whole(response, 64 << 10)
        if response.status in {HTTPStatus.CREATED, HTTPStatus.NO_CONTENT, HTTPStatus.OK}:
            return
        codes = {problem.code for problem in problems(told)}
        if codes & _WRONG:
            raise ContentDamaged(f"the registry got something else than {digest}")
        if codes & _LOST or response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise Interrupted(f"the upload is lost: {', '.join(sorted(codes)) or response.status}")
        raise refusal(response, "PUT", told)

    def _moved(self, response: Response) -> None:
        location = response.headers.get("Location")
        if location:
            self.location = elsewhere(response.url, location)
        if not self.location:
            raise RegistryUnavailable("the registry begins an upload and does not say where")


class HttpUploads:
    """Writes and mounts blobs; those of more than `chunk_bytes` in chunks, where the registry takes them."""

    def __init__(self, client: HttpClient, chunk_bytes: int) -> None:
        self._client = client
        self._chunk_bytes = chunk_bytes
        self._chunks_taken = True

    def write(
        self,
        repository: str,
        digest: str,
        size: int,
        source: Callable[[], BinaryIO],
        is_there: Callable[[], bool],
    ) -> None:
        """Raises ContentDamaged, StorageFull; `is_there` is asked before any try but the first."""
        tries = self._client.tries(f"writing {digest} to {repository}")
        while not (tries.failed and is_there()):
            upload = self._begin(repository)
            try:
                self._send(upload, size, digest, source)
            except ChunksRefused:
                self._chunks_taken = False
                upload.cancel()
            except Interrupted as error:
                upload.cancel()
                tries.again(error)
            except Exception:
                upload.cancel()
                raise
            else:
                return

    def mount(self, repository: str, digest: str, source_repository: str) -> bool:
        """Make a blob of another repository one of this, in one request; False when it is not done."""
        client = self._client
        address = client.url(
            repository, "blobs", "uploads", "", mount=digest, **{"from": client.name(source_repository)}
        )
        scopes = client.scope(repository, "pull,push"), client.scope(source_repository)
        try:
            response = client.ask("POST", address, *scopes, body=Body.of(b""))
        except RegistryDenied:
            return False
        response.discard()
        if response.status == HTTPStatus.ACCEPTED:
            Upload(client, repository, response).cancel()
        return response.status == HTTPStatus.CREATED

    def _send(self, upload: Upload, size: int, digest: str, source: Callable[[], BinaryIO]) -> None:
        if size > self._chunk_bytes and self._chunks_taken:
            upload.send_chunks(size, digest, source, self._chunk_bytes)
        else:
            upload.send(size, digest, source)

    def _begin(self, repository: str) -> Upload:
        address = self._client.url(repository, "blobs", "uploads", "")
        scope = self._client.scope(repository, "pull,push")
        response = self._client.ask("POST", address, scope, body=Body.of(b""))
        if response.status != HTTPStatus.ACCEPTED:
            error = refusal(response, "POST")
            raise RegistryUnavailable(str(error)) if isinstance(error, ContentUnknown) else error
        response.discard()
        return Upload(self._client, repository, response)


def _opened(source: Callable[[], BinaryIO], size: int) -> Iterator[bytes]:
    with closing(source()) as stream:
        yield from exactly(stream, size)


def _from(source: Callable[[], BinaryIO], offset: int) -> BinaryIO:
    stream = source()
    if stream.seekable():
        stream.seek(offset)
    else:
        for _ in exactly(stream, offset, last=False):
            pass
    return stream


def _end(response: Response, otherwise: int) -> int:
    found = _RANGE.fullmatch(response.headers.get("Range", "").strip())
    return int(found[1]) + 1 if found else otherwise


def _number(text: str | None) -> int:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else 0
