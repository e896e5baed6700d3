"""Requests below a path prefix go to another application."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send


class ByPrefix:
    """Goes around `app`, so that what is not meant for it passes none of its layers.

    What is in `whole` sees its path with the prefix; `applications` see it without.
    """

    def __init__(
        self,
        app: ASGIApp,
        applications: Mapping[str, ASGIApp],
        whole: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        self._app = app
        self._applications = [
            *((f"{prefix}/", prefix, inner) for prefix, inner in applications.items()),
            *((f"{prefix}/", "", inner) for prefix, inner in (whole or {}).items()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on; a prefix that the other application does not see is its root path."""
        if scope["type"] == "http":
            path = scope["path"]
            for prefix, root_path, inner in self._applications:
                if path.startswith(prefix):
                    await inner({**scope, "root_path": root_path}, receive, send)
                    return
        await self._app(scope, receive, send)
