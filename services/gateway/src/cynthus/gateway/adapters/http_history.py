"""Run history, asked of the orchestrator over HTTP."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

import httpx2
import orjson

from cynthus.gateway.domain.problems import HistoryRefused, HistoryUnavailable, RunMissing
from cynthus.gateway.ports import Json, RunFilter

_TIMEOUT_S = 10.0
_RUNS = "/internal/v1/runs"
_NO_ROUTE = "not_found"
_OURS = {401, 403, 405, 406, 429}
"""Answers that tell of a fault between services, not in the caller's request."""


class HttpRunHistory:
    """Asks the orchestrator; `client` has its base URL and keeps connections open."""

    def __init__(self, client: httpx2.AsyncClient, internal_token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {internal_token}"}

    async def runs(self, owner: str, wanted: RunFilter, *, page_size: int, page_token: str | None) -> Json:
        """A page of runs."""
        query: dict[str, Any] = {"owner": owner, "page_size": page_size}
        single = {"project": wanted.project, "name": wanted.name, "page_token": page_token}
        query |= {name: value for name, value in single.items() if value is not None}
        query |= {"state": list(wanted.states), "label": list(wanted.labels)}
        return await self._get(_RUNS, query)

    async def run(self, owner: str, reference: str) -> Json:
        """One Run resource."""
        return await self._get(_path(reference), {"owner": owner})

    async def events(self, owner: str, run_id: str, *, after: int, wait_s: float) -> Json:
        """Events of a run from after a version."""
        query = {"owner": owner, "after": after, "wait": wait_s}
        return await self._get(f"{_path(run_id)}/events", query, wait_s)

    async def logs(self, owner: str, run_id: str, query: Mapping[str, str], *, wait_s: float) -> Json:
        """Log chunks of a run."""
        asked = {"owner": owner, "wait": wait_s, **query}
        return await self._get(f"{_path(run_id)}/logs", asked, wait_s)

    async def delete(self, owner: str, run_id: str, *, results: Literal["keep", "delete"]) -> None:
        """Forget a run that is over."""
        await self._ask("DELETE", _path(run_id), {"owner": owner, "results": results}, 0.0)

    async def status(self, owner: str) -> Json:
        """Services and counts by state."""
        return await self._get("/internal/v1/status", {"owner": owner})

    async def changes(self, owner: str, *, after: str | None, wait_s: float) -> Json:
        """State changes of all runs."""
        query = {"owner": owner, "wait": wait_s} | ({} if after is None else {"after": after})
        return await self._get("/internal/v1/events", query, wait_s)

    async def _get(self, path: str, query: dict[str, Any], wait_s: float = 0.0) -> Json:
        answer = await self._ask("GET", path, query, wait_s)
        try:
            content = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise HistoryUnavailable("run history gave an answer that is no JSON") from error
        if not isinstance(content, dict):
            raise HistoryUnavailable("run history gave an answer that is no object")
        return content

    async def _ask(self, method: str, path: str, query: dict[str, Any], wait_s: float) -> httpx2.Response:
        try:
            answer = await self._client.request(
                method, path, params=query, headers=self._headers, timeout=_TIMEOUT_S + wait_s
            )
        except httpx2.HTTPError as error:
            raise HistoryUnavailable("the orchestrator cannot be reached now") from error
        if answer.is_success:
            return answer
        raise _refusal(answer)


def _path(reference: str) -> str:
    return f"{_RUNS}/{quote(reference, safe='')}"


def _refusal(answer: httpx2.Response) -> Exception:
    status = answer.status_code
    try:
        told = orjson.loads(answer.content)
        refused = HistoryRefused(status, told["code"], told["detail"], told.get("hint"))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        refused = HistoryRefused(status, _NO_ROUTE, "")
    if not answer.is_client_error or status in _OURS or refused.code == _NO_ROUTE:
        return HistoryUnavailable(f"the orchestrator answered {status}")
    if status == HTTPStatus.NOT_FOUND:
        return RunMissing("there is no such run")
    return refused
