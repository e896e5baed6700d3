"""What a service decided, served to the platform's other services and read from them."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response

from cynthus.bus import arrivals
from cynthus.events import BY_TYPE, Event
from cynthus.events.codec import STRUCTURED, to_json
from cynthus.store.feed import BEGINNING, FROM_HISTORY, MOST, Fact, FeedUnavailable
from cynthus.store.ports import EventStore, Page, Position, PositionUnknown
from cynthus.web.auth import require_internal
from cynthus.web.calls import ServiceCalls, ServiceSilent
from cynthus.web.problems import Refused

_PATH = "/internal/v1/facts"
_TIMEOUT_S = 30.0
_UNKNOWN = "position_unknown"
_JSON = "application/json"
_DIGITS = re.compile(r"[0-9]{1,18}")


def install(app: FastAPI, store: EventStore, internal_token: str) -> None:
    """Add /internal/v1/facts to a service's application."""

    @app.get(_PATH, include_in_schema=False)
    async def list_facts(
        request: Request,
        types: str,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
        only: str | None = None,
    ) -> Response:
        require_internal(request, internal_token)
        if after is None:
            begin = await store.position_before(BEGINNING)
            return Response(_body([], Page((), begin, more=True)), media_type=_JSON)
        try:
            page = await store.decided(after=_position(after), types=_events(types), limit=limit)
        except PositionUnknown as error:
            hint = "Begin with `after=0.0`: the store was put back to an earlier state."
            raise Refused(409, _UNKNOWN, f"no fact is at {after}", hint=hint) from error
        if only == "ids":
            return Response(_body(None, page), media_type=_JSON)
        facts = [to_json(fact.envelope) for fact in await store.look_up(page.ids)]
        return Response(_body(facts, page), media_type=_JSON)


class HttpFeed:
    """The facts of another service."""

    def __init__(
        self, calls: ServiceCalls, types: Sequence[type[Event]], internal_token: str, *, limit: int = MOST
    ) -> None:
        self._calls = calls
        names = ",".join(event.ce_type() for event in types)
        self._query: dict[str, str | int] = {"types": names, "limit": limit}
        self._headers = {"Authorization": f"Bearer {internal_token}"}

    async def beginning(self) -> Position:
        """What the service says."""
        return _position((await self._ask({}))["next"])

    async def page(self, after: Position) -> Page:
        """Ids only: nearly always the bus has brought the facts."""
        told = await self._ask({"after": _text(after), "only": "ids"})
        return Page(told["ids"], _position(told["next"]), told["more"])

    async def facts(self, after: Position, ids: Sequence[str]) -> list[Fact]:
        """The page again, whole, for those that are wanted of it."""
        told = await self._ask({"after": _text(after)})
        wanted = frozenset(ids)
        return [
            arrivals.read(document["id"], {"content-type": STRUCTURED}, orjson.dumps(document), FROM_HISTORY)
            for document in told["facts"]
            if document["id"] in wanted
        ]

    async def _ask(self, query: dict[str, str]) -> dict[str, Any]:
        try:
            reply = await self._calls.ask(
                "GET", _PATH, {**self._query, **query}, self._headers, timeout_s=_TIMEOUT_S
            )
            told: dict[str, Any] = orjson.loads(reply.body)
        except (ServiceSilent, orjson.JSONDecodeError) as error:
            raise FeedUnavailable(str(error)) from error
        if not reply.ok:
            if told.get("code") == _UNKNOWN:
                raise PositionUnknown(query.get("after", ""))
            raise FeedUnavailable(f"answered {reply.status}: {told.get('detail')}")
        return told


def _body(facts: Sequence[bytes] | None, page: Page) -> bytes:
    rest = {"next": _text(page.next), "more": page.more}
    if facts is None:
        return orjson.dumps({"ids": list(page.ids), **rest})
    return b'{"facts":[' + b",".join(facts) + b"]," + orjson.dumps(rest)[1:]


def _events(names: str) -> list[type[Event]]:
    """The types of these names; one that only a newer version knows is in nobody's history here."""
    return [BY_TYPE[name] for name in names.split(",") if name in BY_TYPE]


def _text(position: Position) -> str:
    return f"{position[0]}.{position[1]}"


def _position(text: str) -> Position:
    transaction_id, _, row = text.partition(".")
    if not all(_DIGITS.fullmatch(part) for part in (transaction_id, row)):
        raise Refused(422, "invalid_request", f"`after` is no position: {text!r}")
    return int(transaction_id), int(row)
