import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cynthus.bus.ports import Delivery
from cynthus.events import Envelope, RunQueued
from cynthus.gateway.adapters.postgres_submissions import PostgresSubmissions
from cynthus.runtime.supervision import supervised
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.rebuild import rebuild
from tests.integration.gateway.conftest import Gateway, Ready

WITHIN_S = 5.0
QUEUE = "SELECT * FROM gateway.submissions ORDER BY run_id"


async def acknowledge(gateway: Gateway, run_id: str, number: int = 1) -> None:
    """Deliver RunQueued as the bus would."""
    from datetime import UTC, datetime

    event = RunQueued(run_id=run_id)
    envelope = Envelope(
        id=f"evt_{run_id}_{number}",
        source="orchestrator",
        time=datetime.now(UTC),
        event=event,
        stream=f"run-{run_id}",
        sequence=2,
        actor="service:orchestrator",
    )
    await gateway.service.app.state.parts.runs.queued(Delivery(envelope, 1))


async def acknowledged(gateway: Gateway) -> list[bool]:
    async with gateway.platform.database.connection() as connection:
        return [row["acknowledged"] for row in await connection.fetch(QUEUE)]


async def test_an_accepted_run_is_never_missing(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    for path, content in [
        ("", run),
        ("/events", {"events": [], "over": False}),
        ("/logs", {"chunks": [], "cursor": None, "over": False}),
        ("/outputs", {"manifest": None, "files": 0, "bytes": 0}),
    ]:
        answer = await ready.client.get(f"/v1/runs/{run['id']}{path}")
        assert (answer.status_code, answer.json()) == (200, content)


async def test_a_run_that_was_taken_over_is_acknowledged_once(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    for number in (1, 1, 2):
        await acknowledge(gateway, run["id"], number)
    assert await acknowledged(gateway) == [True]
    store = PostgresEventStore(gateway.platform.database, schema="gateway", source="gateway")
    history = await store.read(f"run-{run['id']}")
    assert [recorded.envelope.event.kind for recorded in history] == ["run.requested", "run.queued"]
    assert [recorded.decided for recorded in history] == [True, False]


async def test_an_acknowledgement_after_a_cancel_counts_too(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    await ready.client.post(f"/v1/runs/{run['id']}:cancel")
    await acknowledge(gateway, run["id"])
    assert await acknowledged(gateway) == [True]


async def test_rebuilt_submissions_are_equal(ready: Ready, gateway: Gateway) -> None:
    first, _ = await ready.run(), await ready.submit(key="k")
    await acknowledge(gateway, first["id"])
    database = gateway.platform.database
    projection = PostgresSubmissions(database)
    store = PostgresEventStore(database, schema="gateway", source="gateway", projections=[projection])
    async with database.connection() as connection:
        before = await connection.fetch(QUEUE)
        await connection.execute("DELETE FROM gateway.submissions")
    await rebuild(store, [projection])
    async with database.connection() as connection:
        assert await connection.fetch(QUEUE) == before


async def test_history_wins_over_what_was_accepted(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    running = run | {"state": "RUNNING"}
    await gateway.history.tell("ann", running)
    assert (await ready.client.get(f"/v1/runs/{run['id']}")).json() == running
    assert (await ready.client.get("/v1/runs")).json()["runs"] == [running]


async def test_a_list_merges_and_filters_and_pages(ready: Ready, gateway: Gateway) -> None:
    runs = [await ready.run(name=f"n-{n}", labels={"n": str(n)}) for n in range(5)]
    for run in runs[:3]:
        await gateway.history.tell("ann", run | {"state": "SUCCEEDED"})
        await acknowledge(gateway, run["id"])

    async def ids(query: str) -> list[str]:
        answer = await ready.client.get(f"/v1/runs?{query}")
        return [run["name"] for run in answer.json()["runs"]]

    assert await ids("") == ["n-4", "n-3", "n-2", "n-1", "n-0"]
    assert await ids("state=QUEUED") == ["n-4", "n-3"]
    assert await ids("state=succeeded&label=n:1") == ["n-1"]
    assert await ids("label=n:4") == ["n-4"]
    assert await ids("name=n-3") == ["n-3"]
    assert await ids("project=other") == []
    pages, token = [], ""
    while token is not None:
        page = (await ready.client.get(f"/v1/runs?page_size=2{token}")).json()
        pages.append([run["name"] for run in page["runs"]])
        token = page["next_page_token"] and f"&page_token={page['next_page_token']}"
    assert pages == [["n-4", "n-3"], ["n-2", "n-1"], ["n-0"]]


async def test_a_prefix_that_fits_two_runs_is_ambiguous(ready: Ready, gateway: Gateway) -> None:
    known, pending = await ready.run(), await ready.run()
    await gateway.history.tell("ann", known | {"state": "RUNNING"})
    await acknowledge(gateway, known["id"])
    answer = await ready.client.get(f"/v1/runs/{pending['id'][:9]}")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_ambiguous")


async def test_a_forgotten_run_is_gone_and_its_secrets_with_it(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run(secrets={"S": "x"})
    answer = await ready.client.delete(f"/v1/runs/{run['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_is_not_over")
    await gateway.history.tell("ann", run | {"state": "FAILED"})
    await acknowledge(gateway, run["id"])
    assert (await ready.client.delete(f"/v1/runs/{run['id']}?results=delete")).status_code == 204
    assert (await ready.client.get(f"/v1/runs/{run['id']}")).status_code == 404
    assert await gateway.platform.secrets.get(run["id"]) == {}


@pytest.mark.parametrize(
    "path",
    ["/v1/runs", "/v1/runs/{id}", "/v1/runs/{id}/events", "/v1/runs/{id}/logs", "/v1/status", "/v1/events"],
)
async def test_history_that_is_away_is_told_as_503(ready: Ready, gateway: Gateway, path: str) -> None:
    run = await ready.run()
    gateway.history.away = True
    for accept in ("application/json", "text/event-stream"):
        answer = await ready.client.get(path.format(id=run["id"]), headers={"Accept": accept})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_submission_needs_no_history(ready: Ready, gateway: Gateway) -> None:
    gateway.history.away = True
    assert (await ready.submit()).status_code == 202


async def test_a_long_poll_returns_with_the_news(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    waiting = asyncio.create_task(ready.client.get(f"/v1/runs/{run['id']}/events?wait=30"))
    while not gateway.service.app.state.parts.reader._acknowledgements._waiting:
        await asyncio.sleep(0)
    await gateway.history.tell("ann", run | {"state": "RUNNING"}, event="run.queued")
    await acknowledge(gateway, run["id"])
    async with asyncio.timeout(WITHIN_S):
        answer = await waiting
    assert [event["kind"] for event in answer.json()["events"]] == ["run.queued"]


async def test_a_long_poll_for_a_new_run_asks_nobody_before_history_can_know(
    ready: Ready, gateway: Gateway
) -> None:
    run = await ready.run()
    gateway.history.away = True
    waiting = asyncio.create_task(ready.client.get(f"/v1/runs/{run['id']}/events?wait=30"))
    while not gateway.service.app.state.parts.reader._acknowledgements._waiting:
        await asyncio.sleep(0)
    gateway.history.away = False
    await gateway.history.tell("ann", run, event="run.queued")
    await acknowledge(gateway, run["id"])
    async with asyncio.timeout(WITHIN_S):
        assert (await waiting).status_code == 200


async def test_the_status_names_services_and_counts_runs(ready: Ready, gateway: Gateway) -> None:
    run = await ready.run()
    await gateway.history.tell("ann", run | {"state": "RUNNING"})
    told = (await ready.client.get("/v1/status")).json()
    assert told["runs"] == {"RUNNING": 1}
    assert {"gateway", "orchestrator"} <= told["services"].keys()


class Stream:
    """A server-sent event stream of the application, read as it is written."""

    def __init__(self, gateway: Gateway, token: str, path: str, headers: dict[str, str]) -> None:
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        path, _, query = path.partition("?")
        fields = {
            "host": "gateway",
            "authorization": f"Bearer {token}",
            "accept": "text/event-stream",
            **headers,
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "server": ("gateway", 80),
            "client": ("127.0.0.1", 1),
        }
        self.task = asyncio.ensure_future(gateway.service.app(scope, self._receive, self._send))
        self.task.add_done_callback(lambda _: self._frames.put_nowait(None))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status.set_result(message["status"])
        else:
            self._frames.put_nowait(message["body"])

    async def leave(self) -> None:
        self._gone.set()
        await self.task

    async def events(self) -> AsyncIterator[dict[str, str]]:
        async with asyncio.timeout(WITHIN_S):
            while (frame := await self._frames.get()) is not None:
                lines = [line.split(": ", 1) for line in frame.decode().splitlines() if ": " in line]
                event = dict(lines)
                if "event" in event:
                    yield event

    async def take(self, count: int) -> list[dict[str, str]]:
        taken: list[dict[str, str]] = []
        async for event in self.events():
            taken.append(event)
            if len(taken) == count:
                break
        return taken


@pytest.fixture
def stream(gateway: Gateway):
    def begin(path: str, token: str = "ann-token-0123456789", **headers: str) -> Stream:
        return Stream(
            gateway, token, path, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    return begin


async def test_events_stream_until_the_run_is_over(ready: Ready, gateway: Gateway, stream) -> None:
    run = await ready.run()
    opened = stream(f"/v1/runs/{run['id']}/events")
    assert await opened.status == 200
    await gateway.history.tell("ann", run | {"state": "RUNNING"}, event="attempt.started")
    await acknowledge(gateway, run["id"])
    (first,) = await opened.take(1)
    assert (first["event"], first["id"], json.loads(first["data"])["kind"]) == (
        "event",
        "1",
        "attempt.started",
    )
    await gateway.history.tell("ann", run | {"state": "SUCCEEDED"}, event="run.succeeded")
    rest = [event async for event in opened.events()]
    assert [(event["event"], event["id"]) for event in rest] == [("event", "2"), ("end", "2")]


async def test_a_stream_resumes_after_the_last_event(ready: Ready, gateway: Gateway, stream) -> None:
    run = await ready.run()
    for state in ("RUNNING", "UPLOADING", "SUCCEEDED"):
        await gateway.history.tell("ann", run | {"state": state}, event=state, log=f"{state}\nid: 9\n\n")
    events = [event async for event in stream(f"/v1/runs/{run['id']}/events", last_event_id="2").events()]
    assert [(event["event"], event["id"]) for event in events] == [("event", "3"), ("end", "3")]
    logs = [event async for event in stream(f"/v1/runs/{run['id']}/logs", last_event_id="1-0").events()]
    assert [(event["event"], event["id"]) for event in logs] == [
        ("log", "1-1"),
        ("log", "1-2"),
        ("end", "1-2"),
    ]
    assert json.loads(logs[0]["data"])["text"] == "UPLOADING\nid: 9\n\n"


async def test_changes_of_all_runs_are_streamed(ready: Ready, gateway: Gateway, stream) -> None:
    run = await ready.run()
    opened = stream("/v1/events?after=0-0")
    assert await opened.status == 200
    await gateway.history.tell("bob", {**run, "id": "run_of_bob"})
    await gateway.history.tell("ann", run | {"state": "RUNNING"})
    (change,) = await opened.take(1)
    assert json.loads(change["data"])["run"] == run["id"]
    await opened.leave()


async def test_streams_per_owner_are_capped_and_given_back(ready: Ready, gateway: Gateway, stream) -> None:
    opened = [stream("/v1/events?after=0-0") for _ in range(2)]
    await gateway.history.tell("ann", await ready.run())
    for one in opened:
        await one.take(1)
    refused = await ready.client.get("/v1/events", headers={"Accept": "text/event-stream"})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    await opened[0].leave()
    again = stream("/v1/events?after=0-0")
    assert await again.status == 200
    await again.take(1)
    for one in (opened[1], again):
        await one.leave()
    assert not gateway.service.app.state.parts.streams._open


async def test_streams_end_when_the_process_stops(ready: Ready, gateway: Gateway, stream) -> None:
    streams = gateway.service.app.state.parts.streams
    await gateway.history.tell("ann", await ready.run())
    async with supervised([streams.run], service="gateway"):
        opened = stream("/v1/events?after=0-0")
        await opened.take(1)
    async with asyncio.timeout(WITHIN_S):
        await opened.task


async def test_a_stream_survives_history_being_away(
    ready: Ready, gateway: Gateway, stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cynthus.gateway.api.streams._AGAIN_S", 0.01)
    run = await ready.run()
    await gateway.history.tell("ann", run)
    opened = stream(f"/v1/runs/{run['id']}/events")
    await opened.take(1)
    gateway.history.away = True
    await gateway.history.tell("ann", run | {"state": "RUNNING"})
    gateway.history.away = False
    (second,) = await opened.take(1)
    assert second["id"] == "2"
    await opened.leave()


async def test_a_missing_run_is_no_stream(ready: Ready, stream) -> None:
    opened = stream("/v1/runs/run_00000000000000000000000000/events")
    assert await opened.status == 404
