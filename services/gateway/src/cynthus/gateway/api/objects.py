"""Objects by signed URL: the URL is the permission, there is no token."""

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from cynthus.blobs.ports import BlobMissing
from cynthus.gateway.api.parts import Parts
from cynthus.gateway.api.ranges import parse_range
from cynthus.snapshots.manifest import CHUNK_BYTES

router = APIRouter(prefix="/v1/objects", include_in_schema=False)

_BYTES = "application/octet-stream"


@router.get("/{key:path}", response_class=Response)
async def read_object(key: str, request: Request) -> Response:
    """The bytes of an object, or a range of them."""
    parts = _permitted(key, request)
    stat = await parts.blobs.stat(key)
    if stat is None:
        raise BlobMissing("there is no such object")
    start, end = parse_range(request.headers.get("range"), stat.size) or (0, stat.size)
    headers = {"Content-Length": str(end - start), "Accept-Ranges": "bytes"}
    whole = (start, end) == (0, stat.size)
    if not whole:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stat.size}"
    chunks = parts.blobs.get(key, start=start, end=end)
    return StreamingResponse(chunks, 200 if whole else 206, headers, _BYTES)


@router.put("/{key:path}", response_class=Response, max_body_size=CHUNK_BYTES)
async def put_object(key: str, request: Request) -> Response:
    """Store an object."""
    parts = _permitted(key, request)
    await parts.blobs.put(key, request.stream())
    return Response(status_code=200)


def _permitted(key: str, request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    if parts.signer is None:
        raise BlobMissing("there is no such object")
    parts.signer.verify(key, method=request.method, query=request.url.query)
    return parts
