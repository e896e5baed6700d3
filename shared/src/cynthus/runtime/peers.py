"""Where the platform's other services are: in this process, or at an address."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from cynthus.web.asgi_calls import AsgiCalls
from cynthus.web.calls import ServiceCalls


class Peers:
    """Filled while services are assembled; a service in this process is called, nothing is sent."""

    def __init__(self, urls: Mapping[str, str] | None = None) -> None:
        self._urls = dict(urls or {})
        self._apps: dict[str, ASGIApp] = {}

    def host(self, name: str, app: ASGIApp) -> None:
        """A service is in this process."""
        self._apps[name] = app

    def know(self, name: str, url: str) -> None:
        """Where a service is, unless it was said before."""
        self._urls.setdefault(name, url)

    @asynccontextmanager
    async def calls(self, name: str) -> AsyncIterator[ServiceCalls | None]:
        """The way to ask a service; None when nobody said where it is."""
        if name in self._apps:
            yield AsgiCalls(self._apps[name])
        elif name in self._urls:
            # Only where it is needed: importing it takes a tenth of a second.
            from cynthus.web.httpx2_calls import open_calls

            async with open_calls(self._urls[name]) as calls:
                yield calls
        else:
            yield None
