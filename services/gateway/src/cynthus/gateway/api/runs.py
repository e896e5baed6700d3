"""Runs: submit, look, cancel, do again, forget."""

import hmac
from hashlib import sha256
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from cynthus.gateway.api.answers import json_response, passed_on
from cynthus.gateway.api.paging import PageSize, PageToken
from cynthus.gateway.api.parts import Asked, User
from cynthus.gateway.api.references import require_moment, require_name
from cynthus.gateway.api.resources import RunOutputs, RunPage, RunResource, RunWhy
from cynthus.gateway.api.submission import MAX_BODY_BYTES, RunSubmission
from cynthus.gateway.domain.problems import RunIsOver
from cynthus.gateway.domain.resources import FINAL_STATES, queued_run
from cynthus.gateway.domain.submission import SubmitRun
from cynthus.gateway.ports import RunFilter

router = APIRouter(prefix="/v1", tags=["runs"], max_body_size=MAX_BODY_BYTES)

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Filter = Annotated[str | None, Query(max_length=255, pattern=r"^[^\x00]*$")]
Moment = Annotated[
    str | None,
    Query(max_length=64, description="RFC 3339; the past", json_schema_extra={"format": "date-time"}),
]
LabelFilter = Annotated[str, Query(max_length=320, pattern=r"^[^\x00:]+:[^\x00]*$")]
StateFilter = Annotated[str, Query(pattern=r"^[A-Za-z]{1,20}$")]


@router.post("/projects/{project}/runs", status_code=202, response_model=RunResource)
async def submit_run(
    asked: User, project: str, body: RunSubmission, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept a run."""
    await asked.parts.projects.require(asked.owner, require_name(project))
    for snapshot in (body.snapshot, *(item.snapshot for item in body.data if item.snapshot)):
        await asked.parts.snapshots.require(asked.owner, snapshot)
    command = SubmitRun(
        owner=asked.owner,
        project=project,
        spec=body.spec(),
        request_digest=_digest(asked, "submit", project, body.model_dump_json()),
        name=body.name,
        labels=body.labels,
        secrets=body.secrets,
        idempotency_key=idempotency_key,
    )
    return await _accept(asked, command)


@router.get("/runs", response_model=RunPage)
async def list_runs(
    asked: User,
    *,
    project: Filter = None,
    name: Filter = None,
    state: Annotated[list[StateFilter], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    label: Annotated[list[LabelFilter], Query(max_length=20)] = [],  # noqa: B006 - the same
    page_size: PageSize = 50,
    page_token: PageToken = None,
) -> Response:
    """The caller's runs, newest first."""
    states = tuple(item.upper() for item in state)
    wanted = RunFilter(project, states, tuple(label), name)
    page = await asked.parts.reader.page(asked.owner, wanted, page_size=page_size, page_token=page_token)
    return passed_on(page)


@router.get("/runs/{run}", response_model=RunResource)
async def show_run(asked: User, run: str, as_of: Moment = None) -> Response:
    """One run, by id, unambiguous prefix of an id, or name; as it is, or as it stood at a moment."""
    if as_of is None:
        return passed_on(await asked.parts.reader.show(asked.owner, run))
    return passed_on(await asked.parts.reader.show_at(asked.owner, run, require_moment(as_of)))


@router.get("/runs/{run}/why", response_model=RunWhy)
async def explain_run(asked: User, run: str) -> Response:
    """The facts that led to the run's present state, oldest first."""
    return passed_on(await asked.parts.reader.why(asked.owner, run))


@router.post("/runs/{run}:cancel", status_code=202, response_model=RunResource)
async def cancel_run(asked: User, run: str) -> Response:
    """Ask for a run to be stopped."""
    found = await asked.parts.reader.find(asked.owner, run)
    if found["state"] in FINAL_STATES:
        raise RunIsOver(f"the run is over: {found['state']}")
    await asked.parts.runs.cancel(asked.owner, found["id"], actor=asked.caller.actor)
    return json_response(found, 202)


@router.post("/runs/{run}:rerun", status_code=202, response_model=RunResource)
async def rerun_run(asked: User, run: str, idempotency_key: IdempotencyKey = None) -> Response:
    """Accept a new run of the same inputs."""
    run_id = await asked.parts.reader.resolve(asked.owner, run)
    earlier, secrets = await asked.parts.runs.inputs(asked.owner, run_id)
    command = SubmitRun(
        owner=asked.owner,
        project=earlier.project,
        spec=earlier.spec,
        request_digest=_digest(asked, "rerun", run_id),
        labels=earlier.labels,
        secrets=secrets,
        idempotency_key=idempotency_key,
        rerun_of=run_id,
    )
    return await _accept(asked, command)


@router.get("/runs/{run}/outputs")
async def show_outputs(asked: User, run: str) -> RunOutputs:
    """What the run brought; its content is a snapshot."""
    found = await asked.parts.reader.find(asked.owner, run)
    return RunOutputs(**(found["outputs"] or {"manifest": None, "files": 0, "bytes": 0}))


@router.delete("/runs/{run}", status_code=204, response_class=Response)
async def delete_run(asked: User, run: str, results: Literal["keep", "delete"] = "keep") -> None:
    """Forget a run that is over."""
    found = await asked.parts.reader.find(asked.owner, run)
    await asked.parts.runs.forget(found)
    await asked.parts.history.delete(asked.owner, found["id"], results=results)


async def _accept(asked: Asked, command: SubmitRun) -> Response:
    accepted, replayed = await asked.parts.submit(command, actor=asked.caller.actor)
    headers = {"Location": f"/v1/runs/{accepted.requested.run_id}"}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_response(queued_run(accepted.requested, accepted.created_at), 202, headers)


def _digest(asked: Asked, *parts: str) -> str:
    # Keyed: the body may hold secrets that a plain hash would let somebody guess.
    return hmac.new(asked.parts.digest_key, "\n".join(parts).encode(), sha256).hexdigest()
