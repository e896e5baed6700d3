"""Blobs: bytes by their digest."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from cynthus.blobs import keys
from cynthus.blobs.ports import BlobExists, BlobMissing, BlobStat
from cynthus.gateway.api.parts import Asked, UserOrWorker
from cynthus.gateway.api.ranges import parse_range
from cynthus.gateway.api.references import require_hex
from cynthus.gateway.api.resources import MissingBlobs, StoredBlobs
from cynthus.snapshots import frames
from cynthus.snapshots.manifest import CHUNK_BYTES
from cynthus.web.problems import Refused

router = APIRouter(prefix="/v1", tags=["content"])

_BYTES = "application/octet-stream"
_MAX_ASKED = 10_000
_MAX_GOT = 1_000
_MAX_JSON_BYTES = 1024 * 1024
_BATCH_BYTES = 4 * 1024 * 1024
_FRAME_HEAD_BYTES = 40
_BINARY_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}}
}
_FRAMES_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {frames.MEDIA_TYPE: {}}}}
_BINARY: dict[int | str, dict[str, Any]] = {200: {"content": {_BYTES: {}}}, 206: {"content": {_BYTES: {}}}}

HexDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AskedBlobs(BaseModel):
    """Digests to look for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    digests: list[HexDigest] = Field(max_length=_MAX_ASKED)


class WantedBlobs(BaseModel):
    """Digests of small blobs to get."""

    model_config = ConfigDict(extra="forbid", strict=True)

    digests: list[HexDigest] = Field(max_length=_MAX_GOT)


@router.post("/blobs:missing", max_body_size=_MAX_JSON_BYTES)
async def find_missing_blobs(asked: UserOrWorker, body: AskedBlobs) -> MissingBlobs:
    """Which of the blobs have to be sent."""
    wanted = {keys.blob(asked.owner, digest): digest for digest in body.digests}
    present = await asked.parts.blobs.stat_many(list(wanted))
    return MissingBlobs(missing=[digest for key, digest in wanted.items() if key not in present])


@router.put(
    "/blobs/{digest}",
    status_code=201,
    response_class=Response,
    max_body_size=CHUNK_BYTES,
    openapi_extra=_BINARY_BODY,
)
async def put_blob(asked: UserOrWorker, digest: str, request: Request) -> Response:
    """Store one blob; 200 if it was there."""
    key = keys.blob(asked.owner, require_hex(digest))
    if await asked.parts.blobs.stat(key) is not None:
        async for _ in request.stream():
            pass
        return Response(status_code=200)
    try:
        await asked.parts.blobs.put(key, request.stream(), sha256=digest, if_generation=0)
    except BlobExists:
        return Response(status_code=200)
    return Response(status_code=201)


@router.get("/blobs/{digest}", response_class=Response, responses=_BINARY)
async def read_blob(
    asked: UserOrWorker, digest: str, span: Annotated[str | None, Header(alias="Range")] = None
) -> Response:
    """The bytes of a blob, or a range of them."""
    stat = await _stat(asked, digest)
    start, end = parse_range(span, stat.size) or (0, stat.size)
    headers = _headers(digest) | {"Content-Length": str(end - start)}
    status = 200
    if (start, end) != (0, stat.size):
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stat.size}"
        status = 206
    chunks = asked.parts.blobs.get(stat.key, start=start, end=end)
    return StreamingResponse(chunks, status, headers, _BYTES)


@router.head("/blobs/{digest}", response_class=Response)
async def stat_blob(asked: UserOrWorker, digest: str) -> Response:
    """The size of a blob."""
    stat = await _stat(asked, digest)
    return Response(headers=_headers(digest) | {"Content-Length": str(stat.size)}, media_type=_BYTES)


@router.post("/blobs:put", max_body_size=frames.MAX_BODY_BYTES, openapi_extra=_FRAMES_BODY)
async def put_blobs(asked: UserOrWorker, request: Request) -> StoredBlobs:
    """Store many small blobs."""
    if request.headers.get("content-type") != frames.MEDIA_TYPE:
        hint = f"Send `Content-Type: {frames.MEDIA_TYPE}`."
        raise Refused(415, "unsupported_media_type", "the body is not sent as frames of blobs", hint)
    body = await request.body()
    found = await asyncio.to_thread(_unpack, asked.owner, body)
    await asked.parts.blobs.put_many(found)
    return StoredBlobs(stored=len(found))


@router.post(
    "/blobs:get",
    max_body_size=_MAX_JSON_BYTES,
    response_class=Response,
    responses={200: {"content": {frames.MEDIA_TYPE: {}}}},
)
async def get_blobs(asked: UserOrWorker, body: WantedBlobs) -> Response:
    """Many small blobs, in the order asked."""
    wanted = [keys.blob(asked.owner, digest) for digest in body.digests]
    present = await asked.parts.blobs.stat_many(wanted)
    for key, digest in zip(wanted, body.digests, strict=True):
        if key not in present:
            raise BlobMissing(f"there is no blob {digest}")
        if present[key].size > frames.MAX_BLOB_BYTES:
            hint = "Get large blobs one by one: `GET /v1/blobs/{digest}`."
            raise Refused(422, "blob_too_large", f"the blob {digest} is larger than 1 MiB", hint)
    sizes = [present[key].size + _FRAME_HEAD_BYTES for key in wanted]
    length = {"Content-Length": str(sum(sizes))}
    return StreamingResponse(_packed(asked, wanted, present), 200, length, frames.MEDIA_TYPE)


async def _packed(asked: Asked, wanted: list[str], present: dict[str, BlobStat]) -> AsyncIterator[bytes]:
    batch: list[str] = []
    size = 0
    for index, key in enumerate(wanted, start=1):
        batch.append(key)
        size += present[key].size
        if size >= _BATCH_BYTES or index == len(wanted):
            found = await asked.parts.blobs.get_many(batch)
            yield await asyncio.to_thread(b"".join, frames.pack(found[key] for key in batch))
            batch, size = [], 0


def _unpack(owner: str, body: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for digest, blob in frames.unpack(body):
        if len(blob) > frames.MAX_BLOB_BYTES:
            hint = "Send large blobs one by one: `PUT /v1/blobs/{digest}`."
            raise Refused(422, "blob_too_large", f"the blob {digest} is larger than 1 MiB", hint)
        found[keys.blob(owner, digest)] = blob
    return found


async def _stat(asked: Asked, digest: str) -> BlobStat:
    stat = await asked.parts.blobs.stat(keys.blob(asked.owner, require_hex(digest)))
    if stat is None:
        raise BlobMissing(f"there is no blob {digest}")
    return stat


def _headers(digest: str) -> dict[str, str]:
    return {"ETag": f'"{digest}"', "Accept-Ranges": "bytes", "Cache-Control": "private, immutable"}
