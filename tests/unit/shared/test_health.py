import asyncio

import httpx2
import pytest
from fastapi import FastAPI

from cynthus.runtime import health
from cynthus.runtime.lifecycle import Lifecycle
from cynthus.runtime.supervision import supervised


class Check:
    def __init__(self) -> None:
        self.asked = 0
        self.answer: bool | Exception = True

    async def __call__(self) -> bool:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def check() -> Check:
    return Check()


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle()


@pytest.fixture
async def client(check: Check, lifecycle: Lifecycle):
    app = FastAPI()
    app.include_router(health.router("gateway", {"database": check}, lifecycle))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://s") as client:
        yield client


async def test_started_is_told_once_it_serves(client: httpx2.AsyncClient, lifecycle: Lifecycle) -> None:
    assert (await client.get("/health/live")).status_code == 200
    assert (await client.get("/health/startup")).status_code == 503
    lifecycle.started = True
    assert (await client.get("/health/startup")).status_code == 200


async def test_checks_are_run_at_most_every_two_seconds(client: httpx2.AsyncClient, check: Check) -> None:
    answers = await asyncio.gather(*(client.get("/health/ready") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert check.asked == 1


@pytest.mark.parametrize(("answer", "reason"), [(False, "not ready"), (OSError("x"), "OSError")])
async def test_a_failing_check_is_named(
    client: httpx2.AsyncClient, check: Check, answer: bool | Exception, reason: str
) -> None:
    check.answer = answer
    told = await client.get("/health/ready")
    assert (told.status_code, told.json()["checks"]) == (503, {"database": reason})


async def test_a_process_told_to_end_is_not_ready(client: httpx2.AsyncClient, lifecycle: Lifecycle) -> None:
    lifecycle.stopping.set()
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health/live")).status_code == 200


async def test_the_version_is_told(client: httpx2.AsyncClient) -> None:
    told = (await client.get("/version")).json()
    assert told["service"] == "gateway"
    assert told["version"]


async def test_a_task_that_dies_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cynthus.runtime.supervision._FIRST_PAUSE_S", 0.001)
    lives, enough = 0, asyncio.Event()

    async def mortal() -> None:
        nonlocal lives
        lives += 1
        if lives < 4:
            raise OSError("gone")
        enough.set()
        await asyncio.Event().wait()

    async with supervised([mortal], service="test"), asyncio.timeout(5):
        await enough.wait()
    assert lives == 4


async def test_tasks_are_ended_with_the_block() -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    async def task() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with supervised([task], service="test"):
        await begun.wait()
    assert ended.is_set()
