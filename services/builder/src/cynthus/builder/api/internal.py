"""What the gateway asks: images, for one owner at a time."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from cynthus.builder.ports import ImageCatalogue, ImageEntry, ImageMissing
from cynthus.web.auth import require_internal
from cynthus.web.problems import Refused

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")
_MEDIA_TYPES = {
    "sbom": "application/vnd.cyclonedx+json",
    "provenance": "application/vnd.in-toto+json",
}

Kind = Literal["sbom", "provenance"]


class ImagesWanted(BaseModel):
    """The query of a list of images."""

    owner: str
    project: str | None = None
    page_size: int = Field(default=50, ge=1, le=1000)
    page_token: str | None = Field(default=None, max_length=1024)


def router(images: ImageCatalogue, token: str) -> APIRouter:
    """Routes under /internal/v1/images; `token` is the platform's internal one."""
    routes = APIRouter(prefix="/internal/v1/images", include_in_schema=False)

    @routes.get("")
    async def list_images(request: Request, wanted: Annotated[ImagesWanted, Query()]) -> JSONResponse:
        require_internal(request, token)
        after = _place(wanted.page_token)
        found = await images.list(wanted.owner, wanted.project, after, wanted.page_size + 1)
        shown = found[: wanted.page_size]
        following = _page_token(shown[-1]) if len(found) > len(shown) else None
        return JSONResponse(
            {"images": [image_resource(image) for image in shown], "next_page_token": following}
        )

    @routes.get("/{digest}")
    async def show_image(request: Request, digest: str, owner: str) -> JSONResponse:
        require_internal(request, token)
        return JSONResponse(image_resource(await images.find(owner, _prefix(digest))))

    @routes.get("/{digest}/{kind}")
    async def read_document(request: Request, digest: str, kind: Kind, owner: str) -> Response:
        require_internal(request, token)
        image = await images.find(owner, _prefix(digest))
        return Response(await images.document(owner, image.digest, kind), media_type=_MEDIA_TYPES[kind])

    return routes


def image_resource(image: ImageEntry) -> dict[str, Any]:
    """The Image resource: docs/protocols.md."""
    return {
        "digest": image.digest,
        "reference": image.reference,
        "repository": image.repository,
        "project": image.project,
        "runtime": image.runtime,
        "python": image.python,
        "platform": image.platform,
        "base": image.base,
        "size": image.size,
        "packages": image.packages,
        "created_at": _timestamp(image.created_at),
        "command": list(image.command),
        "layers": [
            {"digest": layer.digest, "kind": layer.kind, "size": layer.size, "package": layer.package}
            for layer in image.layers
        ],
        "min_driver": image.min_driver,
        "notes": list(image.notes),
    }


def _prefix(digest: str) -> str:
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise ImageMissing("there is no such image")
    return f"sha256:{found.group(1)}"


def _page_token(image: ImageEntry) -> str:
    return urlsafe_b64encode(f"{_timestamp(image.created_at)} {image.digest}".encode()).decode()


def _place(token: str | None) -> tuple[datetime, str] | None:
    if token is None:
        return None
    try:
        moment, digest = urlsafe_b64decode(token.encode()).decode().split(" ")
        created_at = datetime.fromisoformat(moment)
    except ValueError as error:
        raise _invalid_token() from error
    if created_at.tzinfo is None or _DIGEST.fullmatch(digest) is None:
        raise _invalid_token()
    return created_at, digest


def _invalid_token() -> Refused:
    return Refused(422, "invalid_page_token", "the page token is none of ours", "Begin without one.")


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
