"""Projects and their sources."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from cynthus.gateway.api.paging import PageSize, PageToken, decode_token, encode_token
from cynthus.gateway.api.parts import User
from cynthus.gateway.api.references import require_name
from cynthus.gateway.api.resources import ProjectPage, ProjectResource, SnapshotResource
from cynthus.gateway.api.submission import MAX_BODY_BYTES, Digest, Name
from cynthus.gateway.domain.resources import timestamp
from cynthus.gateway.ports import Project

router = APIRouter(prefix="/v1/projects", tags=["projects"], max_body_size=MAX_BODY_BYTES)


class NewProject(BaseModel):
    """A project to be made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name


class NewSource(BaseModel):
    """A snapshot to become a project's newest source."""

    model_config = ConfigDict(extra="forbid", strict=True)

    snapshot: Digest


@router.post("", status_code=201, responses={200: {"model": ProjectResource}})
async def create_project(asked: User, body: NewProject, response: Response) -> ProjectResource:
    """Make a project; 200 if there is one of this name."""
    project, new = await asked.parts.projects.create(asked.owner, body.name)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/projects/{project.name}"
    return _resource(project)


@router.get("")
async def list_projects(asked: User, page_size: PageSize = 50, page_token: PageToken = None) -> ProjectPage:
    """The caller's projects."""
    after = decode_token(page_token)
    found = await asked.parts.projects.list(asked.owner, after=after, limit=page_size + 1)
    shown = found[:page_size]
    following = encode_token(shown[-1].name) if len(found) > len(shown) else None
    return ProjectPage(projects=[_resource(project) for project in shown], next_page_token=following)


@router.get("/{project}")
async def show_project(asked: User, project: str) -> ProjectResource:
    """One project."""
    return _resource(await asked.parts.projects.find(asked.owner, require_name(project)))


@router.post("/{project}/snapshots", status_code=201, responses={200: {"model": SnapshotResource}})
async def upload_source(asked: User, project: str, body: NewSource, response: Response) -> SnapshotResource:
    """Make a complete snapshot the project's newest source; 200 if it was one before."""
    parts = asked.parts
    found = await parts.projects.find(asked.owner, require_name(project))
    size = await parts.snapshots.require(asked.owner, body.snapshot)
    new = await parts.upload(found, body.snapshot, size, actor=asked.caller.actor)
    await parts.projects.set_snapshot(found, body.snapshot)
    response.status_code = 201 if new else 200
    return SnapshotResource(project=found.name, snapshot=body.snapshot, files=size.files, bytes=size.bytes)


def _resource(project: Project) -> ProjectResource:
    return ProjectResource(
        name=project.name, snapshot=project.snapshot, created_at=timestamp(project.created_at)
    )
