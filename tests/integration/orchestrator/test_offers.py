"""A run whose request did not come, or cannot be read, reaches an end all the same."""

from typing import Any

import httpx2
import pytest

from cynthus.events import RunRequested
from cynthus.gateway.adapters.http_history import HttpRunHistory
from cynthus.gateway.ports import Untaken
from cynthus.web.httpx2_calls import Httpx2Calls
from tests.integration.orchestrator.scenes import pinned, request
from tests.integration.orchestrator.stage import INTERNAL, Stage


async def offer(stage: Stage, requested: RunRequested, **changes: Any) -> httpx2.Response:
    asked = requested.model_dump(mode="json")
    body = {name: asked[name] for name in ("owner", "project", "name")} | {"request": asked | changes}
    headers = {"Authorization": f"Bearer {INTERNAL}"}
    url = f"/internal/v1/runs/{requested.run_id}/offer"
    return await stage.client.post(url, json=body, headers=headers)


async def test_a_request_that_never_came_is_taken_from_the_offer_and_once(stage: Stage) -> None:
    requested = request()
    names = (requested.run_id, requested.owner, requested.project, requested.name)
    offered = Untaken(*names, requested.model_dump(mode="json"))
    for _ in range(2):
        await HttpRunHistory(Httpx2Calls(stage.client), INTERNAL).offer(offered)
    kinds = await stage.kinds(requested.run_id)
    assert kinds[:2] == ["run.requested", "run.queued"]
    assert kinds.count("run.requested") == 1
    run = await stage.run(requested.run_id)
    assert (run["state"], run["spec"]["env"]) == ("BUILDING", {"A": "b"})


async def test_the_request_may_still_come_after_the_offer(stage: Stage) -> None:
    requested = request()
    await offer(stage, requested)
    before = await stage.kinds(requested.run_id)
    await stage.platform.bus.publish([stage._envelope(requested, "gateway")])
    await stage.hear(pinned(requested.run_id), source="datasets")
    kinds = await stage.kinds(requested.run_id)
    assert kinds.count("run.requested") == 1
    assert kinds[: len(before)] == before


UNREADABLE = [{"spec": {"snapshot": ["of", "another", "version"]}}, {"labels": None}, {"run_id": "run_9"}]


@pytest.mark.parametrize("unreadable", UNREADABLE)
async def test_a_run_whose_request_cannot_be_read_fails_and_says_why(
    stage: Stage, unreadable: dict[str, Any]
) -> None:
    requested = request()
    for _ in range(2):
        assert (await offer(stage, requested, **unreadable)).status_code == 204
    run = await stage.run(requested.run_id)
    assert (run["state"], run["cause"]["code"]) == ("FAILED", "internal_error")
    assert (run["project"], run["name"]) == (requested.project, requested.name)
    assert run["cause"]["evidence"][0]
    assert await stage.kinds(requested.run_id) == ["run.requested", "run.queued", "run.failed"]


async def test_a_run_that_is_known_goes_on_whatever_is_offered(stage: Stage) -> None:
    requested = request()
    await stage.hear(requested)
    before = await stage.kinds(requested.run_id)
    assert (await offer(stage, requested, spec=None)).status_code == 204
    assert await stage.kinds(requested.run_id) == before


async def test_only_the_platform_offers(stage: Stage) -> None:
    answer = await stage.client.post("/internal/v1/runs/run_1/offer", json={})
    assert answer.status_code == 401
