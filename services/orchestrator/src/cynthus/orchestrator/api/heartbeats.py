"""The one call that every worker makes again and again: answered before the application and its telemetry."""

import asyncio
import re
from collections.abc import Mapping

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cynthus.orchestrator.domain.messages import Fenced
from cynthus.orchestrator.domain.rhythm import Beat
from cynthus.orchestrator.handlers.heartbeats import Heartbeats
from cynthus.store.ports import StoreUnavailable
from cynthus.web.problems import Answer, problem
from cynthus.web.tokens import AttemptClaims, TokenRefused, WorkerTokens

_PATH = re.compile(r"/worker/v1/attempts/([^/]+)/(\d{1,9})/heartbeat")
_LONGEST_BODY = 4096
_KNOWN = 50_000
_TRUSTED_S = 60.0
_JSON = (b"content-type", b"application/json")


class HeartbeatRoute:
    """Goes around `app`, which answers everything else, and every beat that is not in order.

    A signature that was verified is believed for a minute; whether the attempt counts, the lease says.
    """

    def __init__(
        self,
        app: ASGIApp,
        heartbeats: Heartbeats,
        tokens: WorkerTokens,
        answers: Mapping[type[Exception], Answer],
    ) -> None:
        self._app = app
        self._heartbeats = heartbeats
        self._tokens = tokens
        self._answers = answers
        self._known: dict[bytes, tuple[AttemptClaims, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a beat, or hand the request on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        path = _PATH.fullmatch(scope["path"].removeprefix(scope.get("root_path", "")))
        claims = None if path is None else self._claims(scope)
        if path is None or claims is None or (claims.run_id, str(claims.epoch)) != path.groups():
            return await self._app(scope, receive, send)
        body = await _read(receive)
        usage = _usage(body)
        if usage is None:
            return await self._app(scope, _again(body, receive), send)
        try:
            beat = await self._heartbeats.beat(claims, *usage)
        except (Fenced, StoreUnavailable) as error:
            answer = self._answers[type(error)]
            refusal = problem(answer.status, answer.code, str(error), hint=answer.hint)
            return await refusal(scope, receive, send)
        await _send(send, beat)
        return None

    def _claims(self, scope: Scope) -> AttemptClaims | None:
        token = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        now = asyncio.get_running_loop().time()
        known = self._known.get(token)
        if known is not None and now < known[1]:
            return known[0]
        scheme, _, value = token.partition(b" ")
        try:
            claims = self._tokens.verify_attempt(value.decode()) if scheme.lower() == b"bearer" else None
        except (TokenRefused, UnicodeDecodeError, ValueError):
            return None
        if claims is not None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[token] = (claims, now + _TRUSTED_S)
        return claims


def _usage(body: bytes) -> tuple[float, int] | None:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    cpu_seconds, memory_bytes = fields.get("cpu_seconds", 0.0), fields.get("memory_bytes", 0)
    if type(cpu_seconds) not in {int, float} or type(memory_bytes) is not int or abs(memory_bytes) >> 62:
        return None
    return float(cpu_seconds), memory_bytes


async def _send(send: Send, beat: Beat) -> None:
    body = orjson.dumps({"next_beat_s": beat.next_beat_s, "lease_s": beat.lease_s, "stop": beat.stop})
    headers = [_JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    """The body, or a little more than a beat ever has of it."""
    body = b""
    while len(body) <= _LONGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": len(body) > _LONGEST_BODY}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
