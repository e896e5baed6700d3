"""Questions between services: over HTTP to a real server, and to an application in this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from cynthus.runtime.serve import web_server
from cynthus.runtime.sockets import listen
from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.calls import ServiceCalls, ServiceSilent
from cynthus.web.httpx2_calls import open_calls

SOON_S = 0.05
LONG_S = 20.0


class Asked:
    """The other service, and what became of a question that was given up."""

    def __init__(self) -> None:
        self.hanging = asyncio.Event()
        self.app = FastAPI()

        @self.app.api_route("/echo/{rest:path}", methods=["GET", "POST", "DELETE"])
        async def echo(request: Request, rest: str) -> Any:
            return {
                "method": request.method,
                "rest": rest,
                "query": request.query_params.multi_items(),
                "token": request.headers.get("authorization"),
                "body": (await request.body()).decode(),
            }

        @self.app.get("/status/{status}")
        async def answer(status: int) -> Response:
            return Response(b"" if status == 204 else b"\x00\xff", status)

        @self.app.get("/parts")
        async def parts() -> StreamingResponse:
            return StreamingResponse(iter([b"one ", b"", b"two"]))

        @self.app.get("/broken")
        async def broken() -> None:
            raise ZeroDivisionError

        @self.app.get("/hanging")
        async def hanging() -> None:
            self.hanging.set()
            await asyncio.get_running_loop().create_future()


@pytest.fixture
def asked() -> Asked:
    return Asked()


@asynccontextmanager
async def over_http(app: FastAPI) -> AsyncIterator[ServiceCalls]:
    taken = listen("127.0.0.1", 0, setting="PORT")
    server = web_server(app)
    serving = asyncio.create_task(server.serve(sockets=[taken]))
    async with open_calls(f"http://127.0.0.1:{taken.getsockname()[1]}") as calls:
        yield calls
    server.force_exit = server.should_exit = True
    await serving


class ServiceCallsContract:
    async def test_a_question_arrives_as_it_was_put(self, calls: ServiceCalls) -> None:
        query = {"a": "b c&d+é", "n": 3, "wait": 0.5, "state": ["X", "Y"], "label": []}
        headers = {"Authorization": "Bearer token"}
        reply = await calls.ask("POST", "/echo/run%2F1%3Fx:replay", query, headers, timeout_s=LONG_S)
        assert (reply.status, reply.ok) == (200, True)
        assert json.loads(reply.body) == {
            "method": "POST",
            "rest": "run/1?x:replay",
            "query": [["a", "b c&d+é"], ["n", "3"], ["wait", "0.5"], ["state", "X"], ["state", "Y"]],
            "token": "Bearer token",
            "body": "",
        }

    @pytest.mark.parametrize(("status", "body"), [(200, b"\x00\xff"), (204, b""), (404, b"\x00\xff")])
    async def test_status_and_body_come_back(self, calls: ServiceCalls, status: int, body: bytes) -> None:
        reply = await calls.ask("GET", f"/status/{status}", {}, {}, timeout_s=LONG_S)
        assert (reply.status, reply.body, reply.ok) == (status, body, status < 300)

    async def test_a_body_in_parts_is_put_together(self, calls: ServiceCalls) -> None:
        assert (await calls.ask("GET", "/parts", {}, {}, timeout_s=LONG_S)).body == b"one two"

    async def test_a_fault_of_the_service_is_its_answer(self, calls: ServiceCalls) -> None:
        assert (await calls.ask("GET", "/broken", {}, {}, timeout_s=LONG_S)).status == 500

    async def test_a_service_that_hangs_is_silent(self, calls: ServiceCalls) -> None:
        with pytest.raises(ServiceSilent):
            await calls.ask("GET", "/hanging", {}, {}, timeout_s=SOON_S)

    async def test_a_question_can_be_given_up(self, calls: ServiceCalls, asked: Asked) -> None:
        question = asyncio.create_task(calls.ask("GET", "/hanging", {}, {}, timeout_s=LONG_S))
        async with asyncio.timeout(LONG_S):
            await asked.hanging.wait()
            question.cancel()
            with pytest.raises(asyncio.CancelledError):
                await question


class TestHttpx2Calls(ServiceCallsContract):
    @pytest.fixture
    async def calls(self, asked: Asked) -> AsyncIterator[ServiceCalls]:
        async with over_http(asked.app) as calls:
            yield calls

    async def test_a_service_that_is_not_there_is_silent(self) -> None:
        async with open_calls("http://127.0.0.1:1") as calls:
            with pytest.raises(ServiceSilent):
                await calls.ask("GET", "/", {}, {}, timeout_s=LONG_S)


class TestAsgiCalls(ServiceCallsContract):
    @pytest.fixture
    def calls(self, asked: Asked) -> ServiceCalls:
        return AsgiCalls(asked.app)

    async def test_an_application_that_answers_nothing_is_silent(self) -> None:
        async def mute(*_: Any) -> None:
            pass

        async def failing(*_: Any) -> None:
            raise ZeroDivisionError

        for app in (mute, failing):
            with pytest.raises(ServiceSilent):
                await AsgiCalls(app).ask("GET", "/", {}, {}, timeout_s=LONG_S)
