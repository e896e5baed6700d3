"""Questions to a service in this process: its application is called, nothing is sent."""

import asyncio
from collections.abc import Mapping
from urllib.parse import unquote, urlencode

import structlog
from starlette.types import ASGIApp, Message, Scope

from cynthus.web.calls import Query, Reply, ServiceSilent

_log = structlog.get_logger(__name__)


class AsgiCalls:
    """Asks an ASGI application; the question is cancelled when the time is over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def ask(
        self,
        method: str,
        path: str,
        query: Query,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        body: bytes = b"",
    ) -> Reply:
        """Its answer. Raises ServiceSilent."""
        exchange = _Exchange(body)
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                await self._app(_scope(method, path, query, headers), exchange.receive, exchange.send)
        except Exception as error:
            if not limit.expired():
                _log.exception("service failed", method=method, path=path)
            if not exchange.over.is_set():
                raise ServiceSilent(f"no answer: {type(error).__name__}") from error
        if not exchange.over.is_set():
            raise ServiceSilent("no answer: it ended before its answer did")
        return Reply(exchange.status, b"".join(exchange.parts))


class _Exchange:
    """What one question sends and collects."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.status = 0
        self.parts: list[bytes] = []
        self.over = asyncio.Event()
        self._asked = False

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                self.over.set()


def _scope(method: str, path: str, query: Query, headers: Mapping[str, str]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": urlencode(query, doseq=True).encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": None,
        "server": None,
    }
