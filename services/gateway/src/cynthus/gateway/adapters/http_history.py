"""Run history, asked of the orchestrator over HTTP."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import orjson

from cynthus.gateway.domain.problems import HistoryRefused, HistoryUnavailable, RunMissing
from cynthus.gateway.ports import Document, Json, RunFilter, Untaken
from cynthus.web.calls import Query, Reply, ServiceCalls, ServiceSilent

_TIMEOUT_S = 10.0
_RUNS = "/internal/v1/runs"
_NO_ROUTE = "not_found"
_CALLERS_FAULT = 4
_OURS = {401, 403, 405, 406, 429}
"""Answers that tell of a fault between services, not in the caller's request."""


class HttpRunHistory:
    """Asks the orchestrator."""

    def __init__(self, orchestrator: ServiceCalls, internal_token: str) -> None:
        self._orchestrator = orchestrator
        self._headers = {"Authorization": f"Bearer {internal_token}"}

    async def runs(
        self, owner: str, wanted: RunFilter, *, page_size: int, page_token: str | None
    ) -> Document:
        """A page of runs."""
        query: dict[str, Any] = {"owner": owner, "page_size": page_size}
        single = {"project": wanted.project, "name": wanted.name, "page_token": page_token}
        query |= {name: value for name, value in single.items() if value is not None}
        query |= {"state": list(wanted.states), "label": list(wanted.labels)}
        return await self._get(_RUNS, query)

    async def run(self, owner: str, reference: str) -> Document:
        """One Run resource."""
        return await self._get(_path(reference), {"owner": owner})

    async def run_at(self, owner: str, reference: str, moment: datetime) -> Document:
        """One Run resource as it stood then."""
        return await self._get(_path(reference), {"owner": owner, "as_of": moment.isoformat()})

    async def why(self, owner: str, reference: str) -> Document:
        """The chain of facts that led to the present state."""
        return await self._get(f"{_path(reference)}/why", {"owner": owner})

    async def events(self, owner: str, run_id: str, *, after: int, wait_s: float) -> Document:
        """Events of a run from after a version."""
        query: Query = {"owner": owner, "after": after, "wait": wait_s}
        return await self._get(f"{_path(run_id)}/events", query, wait_s)

    async def logs(self, owner: str, run_id: str, query: Mapping[str, str], *, wait_s: float) -> Document:
        """Log chunks of a run."""
        asked: Query = {"owner": owner, "wait": wait_s, **query}
        return await self._get(f"{_path(run_id)}/logs", asked, wait_s)

    async def offer(self, run: Untaken) -> None:
        """Have a run taken over; what may not be understood is sent beside what always is."""
        offered = {"owner": run.owner, "project": run.project, "name": run.name, "request": run.request}
        await self._ask("POST", f"{_path(run.run_id)}/offer", {}, 0.0, orjson.dumps(offered))

    async def delete(self, owner: str, run_id: str, *, results: Literal["keep", "delete"]) -> None:
        """Forget a run that is over."""
        await self._ask("DELETE", _path(run_id), {"owner": owner, "results": results}, 0.0)

    async def status(self, owner: str) -> Json:
        """Services and counts by state."""
        return (await self._get("/internal/v1/status", {"owner": owner})).read()

    async def changes(self, owner: str, *, after: str | None, wait_s: float) -> Document:
        """State changes of all runs."""
        query: Query = {"owner": owner, "wait": wait_s, **({} if after is None else {"after": after})}
        return await self._get("/internal/v1/events", query, wait_s)

    async def _get(self, path: str, query: Query, wait_s: float = 0.0) -> Document:
        body = (await self._ask("GET", path, query, wait_s)).body
        if not body.startswith(b"{"):
            raise HistoryUnavailable("run history gave an answer that is no JSON object")
        return Document(body)

    async def _ask(self, method: str, path: str, query: Query, wait_s: float, body: bytes = b"") -> Reply:
        timeout_s = _TIMEOUT_S + wait_s
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        try:
            reply = await self._orchestrator.ask(method, path, query, headers, timeout_s=timeout_s, body=body)
        except ServiceSilent as error:
            raise HistoryUnavailable("the orchestrator cannot be reached now") from error
        if reply.ok:
            return reply
        raise _refusal(reply)


def _path(reference: str) -> str:
    return f"{_RUNS}/{quote(reference, safe='')}"


def _refusal(reply: Reply) -> Exception:
    status = reply.status
    try:
        told = orjson.loads(reply.body)
        refused = HistoryRefused(status, told["code"], told["detail"], told.get("hint"))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        refused = HistoryRefused(status, _NO_ROUTE, "")
    if status // 100 != _CALLERS_FAULT or status in _OURS or refused.code == _NO_ROUTE:
        return HistoryUnavailable(f"the orchestrator answered {status}")
    if status == HTTPStatus.NOT_FOUND:
        return RunMissing("there is no such run")
    return refused
