"""What was: a run as it stood, why it stands so, and machines left behind."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from cynthus.gateway.adapters.http_leaks import HttpLeaks
from cynthus.provisioner.adapters.memory_ledger import MemoryLedger
from cynthus.provisioner.adapters.memory_machines import MemoryMachines
from cynthus.provisioner.api import inventory
from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.domain.machine import MachineRow, Stage
from cynthus.provisioner.main import create_app
from cynthus.provisioner.ports import MachineSpec, ProviderAway
from cynthus.provisioner.reconciler import Look
from cynthus.provisioner.reconciler.audit import Audit
from cynthus.web.asgi_calls import AsgiCalls
from tests.integration.gateway.conftest import LOCAL_TOKEN, Gateway, Ready
from tests.integration.gateway.test_images import with_parts

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INTERNAL = "i" * 32


def at(moment: datetime) -> str:
    return quote(moment.isoformat())


async def test_a_run_is_shown_as_it_stood(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run(name="mine")
    for minute, state in enumerate(["QUEUED", "RUNNING", "FAILED"]):
        await gateway.history.tell("ann", run | {"state": state}, at=NOON + minute * MINUTE)
    for reference in (run["id"], run["id"][:20], "mine"):
        for moment, state in (
            (NOON, "QUEUED"),
            (NOON + 1.5 * MINUTE, "RUNNING"),
            (NOON + 9 * MINUTE, "FAILED"),
        ):
            answer = await ready.client.get(f"/v1/runs/{reference}?as_of={at(moment)}")
            assert (answer.status_code, answer.json()["state"]) == (200, state)


async def test_before_it_was_asked_for_there_was_no_run(ready: Ready, gateway: Gateway) -> None:
    known, pending = await ready.run(), await ready.run()
    await gateway.history.tell("ann", known | {"state": "RUNNING"})
    for run in (known, pending):
        answer = await ready.client.get(f"/v1/runs/{run['id']}?as_of={at(NOON)}")
        assert (answer.status_code, answer.json()["code"]) == (404, "run_missing")


async def test_a_run_that_history_has_not_taken_over_was_queued(ready: Ready) -> None:
    run = await ready.run()
    answer = await ready.client.get(f"/v1/runs/{run['id']}?as_of={quote(run['created_at'])}")
    assert answer.json() == run
    answer = await ready.client.get(f"/v1/runs/{run['id']}/why")
    assert answer.json() == {"run": run["id"], "state": "QUEUED", "chain": []}


UNESCAPED = "2026-11-23T14:05:00+01:00"
BAD = ["", "yesterday", "2026-11-23", "2026-11-23T14:05:00", "2026-13-41T14:05:00Z", "1700000000", UNESCAPED]


@pytest.mark.parametrize("text", BAD)
async def test_a_time_that_is_none_is_refused_with_a_hint(ready: Ready, text: str) -> None:
    run = await ready.run()
    answer = await ready.client.get(f"/v1/runs/{run['id']}?as_of={text}")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "invalid_time")
    assert "2026-11-23T14:05:00Z" in told["hint"]


async def test_of_the_future_nothing_is_told(ready: Ready) -> None:
    run = await ready.run()
    answer = await ready.client.get(f"/v1/runs/{run['id']}?as_of=2999-01-01T00:00:00Z")
    assert (answer.status_code, answer.json()["code"]) == (422, "time_to_come")


async def test_why_is_told_as_history_has_it(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run(name="mine")
    for event in ("run.requested", "run.failed"):
        await gateway.history.tell("ann", run | {"state": "FAILED"}, event=event)
    told = (await ready.client.get("/v1/runs/mine/why")).json()
    assert (told["run"], told["state"]) == (run["id"], "FAILED")
    assert [(link["text"], link["because"]) for link in told["chain"]] == [
        ("run.requested", []),
        ("run.failed", [1]),
    ]


@pytest.mark.parametrize("path", ["?as_of=2026-11-23T12:00:00Z", "/why"])
async def test_anothers_past_is_as_if_it_were_not_there(
    ready: Ready, gateway: Gateway, bob: httpx2.AsyncClient, path: str
) -> None:
    run = await ready.run(name="mine")
    await gateway.history.tell("ann", run, at=NOON)
    answers = []
    for reference in ("run_00000000000000000000000000", run["id"], "mine", run["id"][:20], "run_%00"):
        answer = await bob.get(f"/v1/runs/{reference}{path}")
        answers.append((answer.status_code, answer.json() | {"request_id": ""}))
    assert answers[0][0] == 404
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("path", ["?as_of=2026-11-23T12:00:00Z", "/why"])
async def test_a_past_that_cannot_be_asked_is_told_as_503(ready: Ready, gateway: Gateway, path: str) -> None:
    run = await ready.run()
    gateway.history.away = True
    answer = await ready.client.get(f"/v1/runs/{run['id']}{path}")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


class Provider(MemoryMachines):
    """A provider that may not answer."""

    away = False

    async def list(self) -> Any:
        if self.away:
            raise ProviderAway("the provider does not answer")
        return await super().list()


class NeverLooked:
    """A reconciler that has not seen the provider yet."""

    last_look: Look | None = None


@pytest.fixture
async def provider(gateway: Gateway) -> Provider:
    """Two machines, of which nobody has needed one for a minute; and a provisioner that knows them."""
    machines = Provider(Host(cpu=4.0, memory_bytes=2**33))
    ledger = MemoryLedger()
    now = datetime.now(UTC)
    for name, needless in (("cyn-a", None), ("cyn-b", now - MINUTE)):
        await machines.create(MachineSpec(name, "http://x", "t"))
        stage = Stage.HELD if needless is None else Stage.DELETING
        ledger.rows[name] = MachineRow(name, stage=stage, since=now, needless_since=needless, why="no work")
    audit = Audit(ledger, machines, NeverLooked(), timedelta(seconds=10))  # type: ignore[arg-type]
    provisioner = create_app(inventory.router(audit, INTERNAL))
    leaks = HttpLeaks(AsgiCalls(provisioner), INTERNAL)
    gateway.service.app.state.parts = with_parts(gateway, leaks=leaks)
    return machines


async def test_the_platforms_owner_learns_of_machines_left_behind(
    gateway: Gateway, provider: Provider
) -> None:
    async with gateway.client(LOCAL_TOKEN) as local:
        told = (await local.get("/v1/leaks")).json()
        (leak,) = told["leaks"]
        assert (leak["machine"], leak["zone"], leak["reason"]) == ("cyn-b", "here", "no work")
        assert 60 <= leak["age_s"] < 120
        assert told["machines"] == 2


async def test_nobody_else_learns_of_machines(
    gateway: Gateway, ann: httpx2.AsyncClient, provider: Provider
) -> None:
    absent, refused = [await ann.get(path) for path in ("/v1/absent", "/v1/leaks")]
    assert refused.status_code == absent.status_code == 404
    assert refused.json() | {"request_id": ""} == absent.json() | {"request_id": ""}
    async with gateway.client(None) as nobody:
        assert (await nobody.get("/v1/leaks")).status_code == 401


async def test_without_the_providers_word_no_leaks_are_claimed(gateway: Gateway, provider: Provider) -> None:
    provider.away = True
    async with gateway.client(LOCAL_TOKEN) as local:
        answer = await local.get("/v1/leaks")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        gateway.service.app.state.parts = with_parts(gateway, leaks=HttpLeaks(None, INTERNAL))
        assert (await local.get("/v1/leaks")).status_code == 503
