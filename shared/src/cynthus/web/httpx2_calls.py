"""Questions to a service in another process, over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import httpx2

from cynthus.web.calls import Query, Reply, ServiceSilent

# Long polls hold a connection each, so that there must be many.
_LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=50, keepalive_expiry=60)


class Httpx2Calls:
    """Asks over a client that has the service's base URL and keeps connections open."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

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
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        try:
            answer = await self._client.request(
                method, target, headers=headers, timeout=timeout_s, content=body or None
            )
        except httpx2.HTTPError as error:
            raise ServiceSilent(f"no answer: {type(error).__name__}") from error
        return Reply(answer.status_code, answer.content)


@asynccontextmanager
async def open_calls(url: str) -> AsyncIterator[Httpx2Calls]:
    """Questions to the service at `url`."""
    async with httpx2.AsyncClient(base_url=url, limits=_LIMITS, trust_env=False) as client:
        yield Httpx2Calls(client)
