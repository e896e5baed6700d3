"""The builder's images for machines and container engines: the reading half of the OCI distribution API."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from cynthus.oci.descriptor import MediaType, NotAnImage
from cynthus.oci.index import encode_index
from cynthus.oci.ports import (
    ContentDamaged,
    ContentUnknown,
    Registry,
    RegistryDenied,
    RegistryUnavailable,
    StorageFull,
)
from cynthus.oci.reference import NotAReference, checked_digest, checked_repository

MayRead = Callable[[str, str], bool]
"""Whether a password may read a repository."""

_PATH = re.compile(r"(?P<repository>.+)/(?P<kind>manifests|blobs|referrers|tags)/(?P<reference>[^/]+)")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_COUNT = re.compile(r"[0-9]{1,9}")
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
_MOST_TAGS = 10_000


@dataclass
class Refusal(Exception):
    """An error of the distribution specification."""

    status: int
    code: str
    message: str
    headers: dict[str, str] | None = None


def router(registry: Registry, may_read: MayRead) -> APIRouter:
    """GET and HEAD below /v2/, for those whose password `may_read` accepts; writes answer 405."""
    routes = APIRouter(prefix="/v2", include_in_schema=False)
    images = _Images(registry, may_read)

    async def read(request: Request, path: str = "") -> Response:
        try:
            return await images.answer(request, path)
        except Refusal as refusal:
            return _refused(refusal)

    async def refuse() -> Response:
        return _refused(Refusal(405, "UNSUPPORTED", "images are only read here", {"Allow": "GET, HEAD"}))

    for place in ("", "/", "/{path:path}"):
        routes.add_api_route(place, read, methods=["GET", "HEAD"])
        routes.add_api_route(place, refuse, methods=["POST", "PUT", "PATCH", "DELETE"])
    return routes


class _Images:
    def __init__(self, registry: Registry, may_read: MayRead) -> None:
        self._registry = registry
        self._may_read = may_read

    async def answer(self, request: Request, path: str) -> Response:
        password = _password(request)
        if not path:
            return JSONResponse({}, headers=_VERSION)
        found = _PATH.fullmatch(path)
        if found is None:
            raise Refusal(404, "NAME_UNKNOWN", "there is nothing at this path")
        repository, kind, reference = found["repository"], found["kind"], found["reference"]
        try:
            checked_repository(repository)
            if kind in {"blobs", "referrers"}:
                checked_digest(reference)
        except NotAReference as error:
            raise Refusal(400, "NAME_INVALID", str(error)) from error
        if not await asyncio.to_thread(self._may_read, password, repository):
            raise _unauthorized()
        answers = {
            "manifests": self._manifest,
            "blobs": self._blob,
            "referrers": self._referrers,
            "tags": self._tags,
        }
        with _telling(kind):
            return await asyncio.to_thread(answers[kind], request, repository, reference)

    def _manifest(self, _: Request, repository: str, reference: str) -> Response:
        document = self._registry.manifest(repository, reference)
        headers = {**_VERSION, "Docker-Content-Digest": document.digest, "ETag": f'"{document.digest}"'}
        return Response(document.body, headers=headers, media_type=document.media_type)

    def _blob(self, request: Request, repository: str, digest: str) -> Response:
        size = self._registry.stat(repository, digest)
        if size is None:
            raise ContentUnknown(digest)
        start, end = _asked(request.headers.get("Range"), size)
        whole = end - start == size
        headers = {
            **_VERSION,
            "Docker-Content-Digest": digest,
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Length": str(end - start),
            **({} if whole else {"Content-Range": f"bytes {start}-{end - 1}/{size}"}),
        }
        status = HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT
        if request.method == "HEAD":
            return Response(b"", status, headers, "application/octet-stream")
        pieces = _cut(self._registry.read(repository, digest, offset=start), end - start)
        return StreamingResponse(pieces, status, headers, "application/octet-stream")

    def _referrers(self, request: Request, repository: str, digest: str) -> Response:
        kind = request.query_params.get("artifactType")
        found = self._registry.referrers(repository, digest, kind)
        headers = {**_VERSION, **({"OCI-Filters-Applied": "artifactType"} if kind else {})}
        return Response(encode_index(found), headers=headers, media_type=MediaType.INDEX)

    def _tags(self, request: Request, repository: str, reference: str) -> Response:
        if reference != "list":
            raise Refusal(404, "NAME_UNKNOWN", "there is nothing at this path")
        after, count = request.query_params.get("last", ""), request.query_params.get("n", "")
        most = min(int(count), _MOST_TAGS) if _COUNT.fullmatch(count) else _MOST_TAGS
        there = [tag for tag in self._registry.tags(repository) if tag > after]
        page, headers = there[:most], dict(_VERSION)
        if page and len(there) > most:
            headers["Link"] = f'</v2/{repository}/tags/list?last={page[-1]}&n={most}>; rel="next"'
        return JSONResponse({"name": repository, "tags": page}, headers=headers)


@contextmanager
def _telling(kind: str) -> Iterator[None]:
    """What the registry raises, as answers."""
    try:
        yield
    except (ContentUnknown, NotAReference) as error:
        code = "BLOB_UNKNOWN" if kind == "blobs" else "MANIFEST_UNKNOWN"
        raise Refusal(404, code, "the repository has no such content") from error
    except (ContentDamaged, NotAnImage) as error:
        raise Refusal(500, "UNKNOWN", "the stored content is damaged") from error
    except (RegistryUnavailable, RegistryDenied, StorageFull) as error:
        raise Refusal(503, "UNAVAILABLE", "try again in a moment", {"Retry-After": "2"}) from error


def _password(request: Request) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise _unauthorized()
    try:
        _, colon, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise _unauthorized() from error
    if not colon or not password:
        raise _unauthorized()
    return password


def _unauthorized() -> Refusal:
    challenge = {"WWW-Authenticate": 'Basic realm="cynthus"'}
    return Refusal(401, "UNAUTHORIZED", "this needs a password that may read it", challenge)


def _refused(refusal: Refusal) -> Response:
    body: dict[str, Any] = {"errors": [{"code": refusal.code, "message": refusal.message, "detail": None}]}
    return JSONResponse(body, refusal.status, headers={**_VERSION, **(refusal.headers or {})})


def _asked(header: str | None, size: int) -> tuple[int, int]:
    """The bytes [start, end) of a Range header; all for none, or for one that is not understood."""
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return 0, size
    if found[1]:
        start, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    else:
        start, end = max(0, size - int(found[2])), size
    if start >= end:
        raise Refusal(416, "RANGE_INVALID", "no such bytes", {"Content-Range": f"bytes */{size}"})
    return start, end


def _cut(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
            return
