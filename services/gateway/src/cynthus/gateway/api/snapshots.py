"""Snapshots: manifests of trees of blobs."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from cynthus.blobs import keys
from cynthus.gateway.api.parts import UserOrWorker
from cynthus.gateway.api.references import require_snapshot
from cynthus.gateway.domain.problems import SnapshotMissing

router = APIRouter(prefix="/v1/snapshots", tags=["content"])

MAX_MANIFEST_BYTES = 512 * 1024 * 1024
_MEDIA_TYPE = "application/jsonl"
_MANIFEST: dict[int | str, dict[str, Any]] = {200: {"content": {_MEDIA_TYPE: {}}}}
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {_MEDIA_TYPE: {}}}}


@router.put(
    "/{digest}",
    status_code=201,
    response_class=Response,
    max_body_size=MAX_MANIFEST_BYTES,
    openapi_extra=_BODY,
)
async def put_snapshot(asked: UserOrWorker, digest: str, request: Request) -> Response:
    """Store a manifest whose blobs are all there; 200 if it was stored before."""
    new = await asked.parts.snapshots.store(asked.owner, require_snapshot(digest), request.stream())
    return Response(status_code=201 if new else 200)


@router.get("/{digest}", response_class=Response, responses=_MANIFEST)
async def read_snapshot(asked: UserOrWorker, digest: str) -> Response:
    """The manifest of a snapshot."""
    key = keys.manifest(asked.owner, require_snapshot(digest))
    stat = await asked.parts.blobs.stat(key)
    if stat is None:
        raise SnapshotMissing("there is no such snapshot")
    length = {"Content-Length": str(stat.size), "ETag": f'"{digest}"'}
    return StreamingResponse(asked.parts.blobs.get(key), 200, length, _MEDIA_TYPE)


@router.head("/{digest}", response_class=Response)
async def stat_snapshot(asked: UserOrWorker, digest: str) -> Response:
    """Whether a snapshot is whole; nothing more has to be sent then."""
    stat = await asked.parts.blobs.stat(keys.manifest(asked.owner, require_snapshot(digest)))
    if stat is None:
        raise SnapshotMissing("there is no such snapshot")
    return Response(headers={"Content-Length": str(stat.size), "ETag": f'"{digest}"'}, media_type=_MEDIA_TYPE)
