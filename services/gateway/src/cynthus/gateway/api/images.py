"""Images that were built: what is in them and where they came from."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from cynthus.gateway.api.answers import passed_on
from cynthus.gateway.api.paging import PageSize, PageToken
from cynthus.gateway.api.parts import User
from cynthus.gateway.api.references import require_image
from cynthus.gateway.api.resources import ImagePage, ImageResource

router = APIRouter(prefix="/v1/images", tags=["images"])

_SBOM = "application/vnd.cyclonedx+json"
_PROVENANCE = "application/vnd.in-toto+json"

Project = Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$")]


def _as(media_type: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {media_type: {"schema": {"type": "object"}}}}}


@router.get("", response_model=ImagePage)
async def list_images(
    asked: User, project: Project = None, page_size: PageSize = 50, page_token: PageToken = None
) -> Response:
    """The caller's images, newest first."""
    images = asked.parts.images
    return passed_on(
        await images.list(asked.owner, project=project, page_size=page_size, page_token=page_token)
    )


@router.get("/{digest}", response_model=ImageResource)
async def show_image(asked: User, digest: str) -> Response:
    """One image, by its digest or at least 8 digits of its beginning."""
    return passed_on(await asked.parts.images.find(asked.owner, require_image(digest)))


@router.get("/{digest}/sbom", response_class=Response, responses=_as(_SBOM))
async def read_image_sbom(asked: User, digest: str) -> Response:
    """What is in an image, as CycloneDX."""
    found = await asked.parts.images.document(asked.owner, require_image(digest), "sbom")
    return Response(found.body, media_type=_SBOM)


@router.get("/{digest}/provenance", response_class=Response, responses=_as(_PROVENANCE))
async def read_image_provenance(asked: User, digest: str) -> Response:
    """How an image was made, as SLSA provenance in an in-toto statement."""
    found = await asked.parts.images.document(asked.owner, require_image(digest), "provenance")
    return Response(found.body, media_type=_PROVENANCE)
