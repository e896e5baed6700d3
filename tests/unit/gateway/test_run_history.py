"""Run history in memory, and the HTTP adapter against a server of the orchestrator's calls."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from pydantic import AwareDatetime

from cynthus.gateway.adapters.http_history import HttpRunHistory
from cynthus.gateway.adapters.memory_history import MemoryRunHistory
from cynthus.gateway.domain.problems import HistoryRefused, HistoryUnavailable, RunMissing
from cynthus.gateway.ports import RunFilter, Untaken
from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.auth import require_internal
from cynthus.web.httpx2_calls import Httpx2Calls
from cynthus.web.problems import Answer, install, problem
from tests.contracts.run_history import RunHistoryContract, a_run

TOKEN = "t" * 32


def orchestrator(kept: MemoryRunHistory) -> FastAPI:
    app = FastAPI()
    away, missing = Answer(503, "away"), Answer(404, "run_missing")
    install(app, {HistoryUnavailable: away, RunMissing: missing})

    @app.exception_handler(HistoryRefused)
    async def refused(_: Request, error: HistoryRefused) -> Any:
        return problem(error.status, error.code, error.detail)

    def internal(request: Request) -> None:
        require_internal(request, TOKEN)

    routes = APIRouter(prefix="/internal/v1", dependencies=[Depends(internal)])

    @routes.get("/runs")
    async def runs(
        owner: str,
        page_size: int,
        state: Annotated[tuple[str, ...], Query()] = (),
        label: Annotated[tuple[str, ...], Query()] = (),
        project: str | None = None,
        name: str | None = None,
        page_token: str | None = None,
    ) -> Any:
        wanted = RunFilter(project, state, label, name)
        return (await kept.runs(owner, wanted, page_size=page_size, page_token=page_token)).read()

    @routes.get("/runs/{run}/events")
    async def events(run: str, owner: str, after: int, wait: float) -> Any:
        return (await kept.events(owner, run, after=after, wait_s=wait)).read()

    @routes.get("/runs/{run}/logs")
    async def logs(run: str, owner: str, wait: float, request: Request) -> Any:
        return (await kept.logs(owner, run, dict(request.query_params), wait_s=wait)).read()

    @routes.post("/runs/{run}/offer", status_code=204)
    async def offer(run: str, request: Request) -> None:
        offered = await request.json()
        await kept.offer(Untaken(run, **offered))

    @routes.delete("/runs/{run}", status_code=204)
    async def delete(run: str, owner: str, results: Any) -> None:
        await kept.delete(owner, run, results=results)

    @routes.get("/status")
    async def status(owner: str) -> Any:
        return await kept.status(owner)

    @routes.get("/events")
    async def changes(owner: str, wait: float, after: str | None = None) -> Any:
        return (await kept.changes(owner, after=after, wait_s=wait)).read()

    _past(routes, kept)
    app.include_router(routes)
    return app


def _past(routes: APIRouter, kept: MemoryRunHistory) -> None:
    @routes.get("/runs/{run}")
    async def run(run: str, owner: str, as_of: AwareDatetime | None = None) -> Any:
        if as_of is not None:
            return (await kept.run_at(owner, run, as_of)).read()
        return (await kept.run(owner, run)).read()

    @routes.get("/runs/{run}/why")
    async def why(run: str, owner: str) -> Any:
        return (await kept.why(owner, run)).read()


class TestMemoryRunHistory(RunHistoryContract):
    @pytest.fixture
    def history(self, kept: MemoryRunHistory) -> MemoryRunHistory:
        return kept


class TestHttpRunHistory(RunHistoryContract):
    @pytest.fixture
    async def history(self, kept: MemoryRunHistory) -> AsyncIterator[HttpRunHistory]:
        transport = httpx2.ASGITransport(orchestrator(kept))
        async with httpx2.AsyncClient(transport=transport, base_url="http://orchestrator") as client:
            yield HttpRunHistory(Httpx2Calls(client), TOKEN)


class TestHttpRunHistoryInOneProcess(RunHistoryContract):
    @pytest.fixture
    def history(self, kept: MemoryRunHistory) -> HttpRunHistory:
        return HttpRunHistory(AsgiCalls(orchestrator(kept)), TOKEN)


def answering(answer: httpx2.Response | Exception) -> HttpRunHistory:
    def respond(_: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx2.MockTransport(respond)
    client = httpx2.AsyncClient(transport=transport, base_url="http://o")
    return HttpRunHistory(Httpx2Calls(client), TOKEN)


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("cut"),
        httpx2.Response(500, json={"code": "x", "detail": "y"}),
        httpx2.Response(503),
        httpx2.Response(401, json={"code": "unauthenticated", "detail": "y"}),
        httpx2.Response(404, json={"code": "not_found", "detail": "no such route"}),
        httpx2.Response(404, text="<html>"),
        httpx2.Response(422, json={"detail": []}),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(302, headers={"Location": "http://elsewhere"}),
    ],
    ids=repr,
)
async def test_every_fault_between_services_means_away(answer: httpx2.Response | Exception) -> None:
    with pytest.raises(HistoryUnavailable):
        await answering(answer).run("ann", a_run(1)["id"])


async def test_a_refusal_that_the_caller_can_act_on_is_passed_on() -> None:
    told = {"code": "invalid_cursor", "detail": "none of ours", "hint": "Begin without one."}
    with pytest.raises(HistoryRefused) as refused:
        await answering(httpx2.Response(422, json=told)).status("ann")
    assert (refused.value.status, refused.value.code, refused.value.hint) == (
        422,
        *[told["code"], told["hint"]],
    )


async def test_a_wrong_internal_token_means_away() -> None:
    calls = AsgiCalls(orchestrator(MemoryRunHistory()))
    with pytest.raises(HistoryUnavailable):
        await HttpRunHistory(calls, "other").status("ann")
