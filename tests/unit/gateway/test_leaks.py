from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request

from cynthus.gateway.adapters.http_leaks import HttpLeaks
from cynthus.gateway.adapters.memory_leaks import MemoryLeaks
from cynthus.gateway.domain.problems import MachinesUnavailable
from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.auth import require_internal
from cynthus.web.httpx2_calls import Httpx2Calls
from cynthus.web.problems import Answer, install
from tests.contracts.leaks import LeaksContract

TOKEN = "t" * 32


def provisioner(kept: MemoryLeaks) -> AsgiCalls:
    app = FastAPI()
    install(app, {MachinesUnavailable: Answer(503, "provider_away")})

    @app.get("/internal/v1/leaks")
    async def leaks(request: Request) -> Any:
        require_internal(request, TOKEN)
        return (await kept.now()).read()

    return AsgiCalls(app)


class TestMemoryLeaks(LeaksContract):
    @pytest.fixture
    def leaks(self, kept: MemoryLeaks) -> MemoryLeaks:
        return kept


class TestHttpLeaks(LeaksContract):
    @pytest.fixture
    def leaks(self, kept: MemoryLeaks) -> HttpLeaks:
        return HttpLeaks(provisioner(kept), TOKEN)


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.Response(500, json=[]),
        httpx2.Response(503, json={"code": "provider_away", "detail": "the provider does not answer"}),
        httpx2.Response(404, text="<html>"),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
    ],
    ids=repr,
)
async def test_every_fault_means_that_nothing_is_known(answer: httpx2.Response | Exception) -> None:
    def respond(_: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(respond), base_url="http://p")
    with pytest.raises(MachinesUnavailable):
        await HttpLeaks(Httpx2Calls(client), TOKEN).now()


async def test_a_provisioner_that_nobody_knows_and_a_wrong_token_are_told() -> None:
    for leaks in (HttpLeaks(None, TOKEN), HttpLeaks(provisioner(MemoryLeaks(None)), "other")):  # type: ignore[arg-type]
        with pytest.raises(MachinesUnavailable):
            await leaks.now()
