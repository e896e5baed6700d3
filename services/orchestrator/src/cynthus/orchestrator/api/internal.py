"""What the gateway asks: runs, for one owner at a time."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, BaseModel, Field

from cynthus.orchestrator.api.auth import internal
from cynthus.orchestrator.api.evidence import why_resource
from cynthus.orchestrator.api.resources import run_resource
from cynthus.orchestrator.api.streams import Streams
from cynthus.orchestrator.handlers.deletion import Deletion
from cynthus.orchestrator.handlers.past import Past
from cynthus.orchestrator.ports import RunFilter, Runs
from cynthus.web.problems import Refused

_LONGEST_WAIT_S = 60.0

Wait = Annotated[float, Query(ge=0)]


class RunsWanted(BaseModel):
    """The query of a list of runs."""

    owner: str
    project: str | None = None
    state: list[str] = []
    label: list[str] = []
    name: str | None = None
    page_size: int = Field(default=50, ge=1, le=1000)
    page_token: str | None = None

    def filter(self) -> RunFilter:
        """What it asks for. Raises Refused."""
        labels = dict(label.partition(":")[::2] for label in self.label)
        if not all(":" in label for label in self.label):
            raise Refused(422, "invalid_request", "a label filter looks like key:value")
        states = tuple(state.upper() for state in self.state)
        return RunFilter(self.owner, self.project, self.name, states, labels, self.page_token)


class LogsWanted(BaseModel):
    """The query of a log."""

    owner: str
    after: str | None = None
    wait: float = Field(default=0.0, ge=0)
    source: Literal["stdout", "stderr"] | None = None
    attempt: int | None = Field(default=None, ge=1, lt=2**31)
    limit: int = Field(default=200, ge=1, le=1000)


def router(runs: Runs, streams: Streams, past: Past, deletion: Deletion, token: str) -> APIRouter:
    """Routes under /internal/v1."""
    routes = APIRouter(prefix="/internal/v1", dependencies=[Depends(internal(token))])

    @routes.get("/runs")
    async def list_runs(wanted: Annotated[RunsWanted, Query()]) -> JSONResponse:
        found = await runs.page(wanted.filter(), wanted.page_size + 1)
        shown = found[: wanted.page_size]
        following = shown[-1].id if len(found) > len(shown) else None
        body: dict[str, Any] = {"runs": [run_resource(run) for run in shown], "next_page_token": following}
        return JSONResponse(body)

    @routes.get("/runs/{run}")
    async def show_run(run: str, owner: str, as_of: AwareDatetime | None = None) -> JSONResponse:
        if as_of is not None:
            return JSONResponse(run_resource(await past.run_at(owner, run, as_of)))
        found = await runs.find(owner, run)
        return JSONResponse(run_resource(found, await streams.logs_.first_line_at(found)))

    @routes.get("/runs/{run}/why")
    async def why(run: str, owner: str) -> JSONResponse:
        return JSONResponse(why_resource(*await past.why(owner, run)))

    @routes.get("/runs/{run}/events")
    async def run_events(
        run: str, owner: str, after: Annotated[int, Query(ge=0, lt=2**31)] = 0, wait: Wait = 0.0
    ) -> JSONResponse:
        return JSONResponse(await streams.events(owner, run, after, min(wait, _LONGEST_WAIT_S)))

    @routes.get("/runs/{run}/logs")
    async def run_logs(run: str, wanted: Annotated[LogsWanted, Query()]) -> JSONResponse:
        answer = await streams.logs(
            wanted.owner,
            run,
            wanted.after,
            min(wanted.wait, _LONGEST_WAIT_S),
            source=wanted.source,
            epoch=wanted.attempt,
            limit=wanted.limit,
        )
        return JSONResponse(answer)

    @routes.delete("/runs/{run}", status_code=204, response_class=Response)
    async def delete_run(run: str, owner: str, results: Literal["keep", "delete"] = "keep") -> None:
        await deletion.delete(await runs.find(owner, run), results=results == "delete")

    @routes.get("/status")
    async def status(owner: str) -> dict[str, Any]:
        return {"runs": await runs.counts(owner)}

    @routes.get("/events")
    async def changes(owner: str, after: str | None = None, wait: Wait = 0.0) -> JSONResponse:
        return JSONResponse(await streams.changes(owner, after, min(wait, _LONGEST_WAIT_S)))

    return routes
