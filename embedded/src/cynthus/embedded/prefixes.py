"""Requests below a path prefix go to another application."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class ByPrefix:
    """Goes around `app`, so that what is not meant for it passes none of its layers."""

    def __init__(self, app: ASGIApp, applications: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._applications = [(f"{prefix}/", inner) for prefix, inner in applications.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on; the prefix becomes the other application's root path."""
        if scope["type"] == "http":
            path = scope["path"]
            for prefix, inner in self._applications:
                if path.startswith(prefix):
                    await inner({**scope, "root_path": prefix[:-1]}, receive, send)
                    return
        await self._app(scope, receive, send)
