"""The services of the platform, asked how they are over HTTP."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from cynthus.gateway.ports import Json
from cynthus.runtime.health import installed_version
from cynthus.web.calls import Reply, ServiceCalls, ServiceSilent

_TIMEOUT_S = 2.0
_MACHINES = "provisioner"


class HttpServices:
    """`services` leads to each by its name; those `inside` are in this process, so they are as well as it."""

    def __init__(
        self, services: Mapping[str, ServiceCalls], inside: Collection[str], internal_token: str
    ) -> None:
        self._services = services
        self._inside = inside
        self._headers = {"Authorization": f"Bearer {internal_token}"}

    async def states(self) -> dict[str, Json]:
        """Each service by its name."""
        found = await asyncio.gather(*(self._state(name) for name in self._services))
        return dict(zip(self._services, found, strict=True))

    async def machine(self) -> Json | None:
        """What the largest machine can do."""
        if _MACHINES not in self._services:
            return None
        return await self._told(_MACHINES, "/internal/v1/machine")

    async def _state(self, name: str) -> Json:
        if name in self._inside:
            return {"state": "ok", "version": installed_version(name)}
        ready, told = await asyncio.gather(self._ask(name, "/health/ready"), self._told(name, "/version"))
        if ready is None:
            return {"state": "silent", "version": None}
        return {"state": "ok" if ready.ok else "failing", "version": (told or {}).get("version")}

    async def _told(self, name: str, path: str) -> Json | None:
        reply = await self._ask(name, path)
        if reply is None or not reply.ok:
            return None
        try:
            told: Any = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            return None
        return told if isinstance(told, dict) else None

    async def _ask(self, name: str, path: str) -> Reply | None:
        try:
            return await self._services[name].ask("GET", path, {}, self._headers, timeout_s=_TIMEOUT_S)
        except ServiceSilent:
            return None
