"""Parked messages of every service, asked of each over HTTP."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from cynthus.gateway.ports import Json, ParkedElsewhere
from cynthus.web.calls import ServiceCalls, ServiceSilent

_PATH = "/internal/v1/parked"
_TIMEOUT_S = 30.0


class HttpParkedMessages:
    """`services` leads to each service, by its name."""

    def __init__(self, services: Mapping[str, ServiceCalls], internal_token: str) -> None:
        self._services = services
        self._headers = {"Authorization": f"Bearer {internal_token}"}

    async def all(self) -> Json:
        """Those of all services, oldest first; a service that does not answer is named."""
        answers = await asyncio.gather(*(self._list(name) for name in self._services))
        found = [row for rows in answers if rows is not None for row in rows]
        silent = [name for name, rows in zip(self._services, answers, strict=True) if rows is None]
        return {"parked": sorted(found, key=lambda row: row["parked_at"] or ""), "unreachable": silent}

    async def one(self, service: str, message_id: str) -> Json:
        """One of them, whole. Raises ParkedElsewhere."""
        return await self._ask("GET", service, f"{_PATH}/{quote(message_id, safe='')}")

    async def replay(self, service: str, message_id: str) -> Json:
        """Have it handled again. Raises ParkedElsewhere."""
        return await self._ask("POST", service, f"{_PATH}/{quote(message_id, safe='')}:replay")

    async def _list(self, service: str) -> list[Json] | None:
        try:
            found: list[Json] = (await self._ask("GET", service, _PATH))["parked"]
        except ParkedElsewhere:
            return None
        return found

    async def _ask(self, method: str, service: str, path: str) -> Json:
        calls = self._services.get(service)
        if calls is None:
            known = ", ".join(sorted(self._services))
            raise ParkedElsewhere(404, "not_found", f"there is no service {service!r}; there are {known}")
        try:
            reply = await calls.ask(method, path, {}, self._headers, timeout_s=_TIMEOUT_S)
            told: dict[str, Any] = orjson.loads(reply.body)
        except (ServiceSilent, orjson.JSONDecodeError) as error:
            raise ParkedElsewhere(503, "service_unreachable", f"{service} does not answer") from error
        if not reply.ok:
            raise ParkedElsewhere(reply.status, told.get("code", "refused"), told.get("detail", ""))
        return told
