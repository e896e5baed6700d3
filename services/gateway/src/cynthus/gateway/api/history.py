"""Events and logs of runs: as JSON with a long poll, or as server-sent events."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import Response

from cynthus.gateway.api.answers import passed_on
from cynthus.gateway.api.parts import Asked, User
from cynthus.gateway.api.resources import Changes, RunEvents, RunLogs
from cynthus.gateway.api.streams import Batch
from cynthus.gateway.ports import Document
from cynthus.web.problems import Refused

router = APIRouter(prefix="/v1", tags=["history"])

_SSE = "text/event-stream"
_LONGEST_WAIT_S = 30.0
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON, or server-sent events when asked with `Accept: text/event-stream`",
        "content": {_SSE: {"schema": {"type": "string"}}},
    }
}

Accept = Annotated[str, Header(include_in_schema=False)]
LastEventId = Annotated[str | None, Header(max_length=100, pattern=r"^[0-9-]*$")]
Wait = Annotated[float, Query(ge=0, le=3600, description="seconds to wait for news, at most 30")]
Cursor = Annotated[str | None, Query(max_length=100, pattern=r"^[0-9-]*$")]
_MAX_VERSION = 2**31 - 1


@router.get("/runs/{run}/events", response_model=RunEvents, responses=_STREAM)
async def list_run_events(
    asked: User,
    run: str,
    *,
    after: Annotated[int, Query(ge=0, le=_MAX_VERSION)] = 0,
    wait: Wait = 0.0,
    accept: Accept = "",
    last_event_id: LastEventId = None,
) -> Response:
    """The facts of a run."""
    run_id = await asked.parts.reader.resolve(asked.owner, run)
    if _SSE not in accept:
        wait_s = min(wait, _LONGEST_WAIT_S)
        return passed_on(await asked.parts.reader.events(asked.owner, run_id, after=after, wait_s=wait_s))

    async def poll(cursor: str | None, wait_s: float) -> Batch:
        version = _version(cursor)
        document = await asked.parts.reader.events(asked.owner, run_id, after=version, wait_s=wait_s)
        told = document.read()
        events = [(str(event["version"]), "event", event) for event in told["events"]]
        return Batch(events, events[-1][0] if events else cursor, told["over"])

    return await asked.parts.streams.respond(asked.owner, last_event_id or str(after), poll)


@router.get("/runs/{run}/logs", response_model=RunLogs, responses=_STREAM)
async def read_run_logs(
    asked: User,
    run: str,
    *,
    after: Cursor = None,
    wait: Wait = 0.0,
    source: Literal["stdout", "stderr"] | None = None,
    attempt: Annotated[int | None, Query(ge=0, le=_MAX_VERSION)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    accept: Accept = "",
    last_event_id: LastEventId = None,
) -> Response:
    """What a run wrote."""
    run_id = await asked.parts.reader.resolve(asked.owner, run)
    asked_for = {"source": source, "attempt": attempt, "limit": limit}
    query = {name: str(value) for name, value in asked_for.items() if value is not None}

    async def ask(cursor: str | None, wait_s: float) -> Document:
        full = query | ({"after": cursor} if cursor else {})
        return await asked.parts.reader.logs(asked.owner, run_id, full, wait_s=wait_s)

    if _SSE not in accept:
        return passed_on(await ask(after, min(wait, _LONGEST_WAIT_S)))

    async def poll(cursor: str | None, wait_s: float) -> Batch:
        told = (await ask(cursor, wait_s)).read()
        chunks = [(chunk["cursor"], "log", chunk) for chunk in told["chunks"]]
        return Batch(chunks, told["cursor"] or cursor, told["over"])

    return await asked.parts.streams.respond(asked.owner, last_event_id or after, poll)


@router.get("/events", response_model=Changes, responses=_STREAM)
async def watch_runs(
    asked: User,
    after: Cursor = None,
    wait: Wait = 0.0,
    accept: Accept = "",
    last_event_id: LastEventId = None,
) -> Response:
    """State changes of all the caller's runs."""
    if _SSE not in accept:
        return passed_on(await _changes(asked, after, min(wait, _LONGEST_WAIT_S)))

    async def poll(cursor: str | None, wait_s: float) -> Batch:
        told = (await _changes(asked, cursor, wait_s)).read()
        events = [(event["cursor"], "event", event) for event in told["events"]]
        return Batch(events, told["cursor"] or cursor)

    return await asked.parts.streams.respond(asked.owner, last_event_id or after, poll)


async def _changes(asked: Asked, cursor: str | None, wait_s: float) -> Document:
    return await asked.parts.history.changes(asked.owner, after=cursor or None, wait_s=wait_s)


def _version(cursor: str | None) -> int:
    if cursor and not cursor.isdecimal():
        raise Refused(422, "invalid_cursor", "Last-Event-ID is no version of a run", "Begin without one.")
    return min(int(cursor or 0), _MAX_VERSION)
