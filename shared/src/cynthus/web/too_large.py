"""Answers to bodies that are too large, as problems: the framework writes plain text."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cynthus.web.problems import problem

_TOO_LARGE = 413


class TooLargeAsProblem:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, but for that one answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replaced = False

        async def rewrite(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                replaced = _is_plain(message)
                if replaced:
                    hint = "Send less at once; docs/protocols.md has the limits."
                    await problem(_TOO_LARGE, "body_too_large", "the body is too large", hint=hint)(
                        scope, receive, send
                    )
            if not replaced:
                await send(message)

        await self._app(scope, receive, rewrite)


def _is_plain(message: Message) -> bool:
    if message["status"] != _TOO_LARGE:
        return False
    headers = dict(message["headers"])
    return bytes(headers.get(b"content-type", b"")).startswith(b"text/plain")
