"""A broker before the Pub/Sub emulator: forwards every call, and loses, repeats or delays messages.

It is also the tap of the bus: each message that a service asked to be published is written down.
"""

import asyncio
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

# gRPC's fork handlers would run inside every process that the harness starts.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
from google.pubsub_v1.types import PublishRequest, PublishResponse

from tests.chaos.journal import Journal

_PUBLISH = "/google.pubsub.v1.Publisher/Publish"
_ACKNOWLEDGE = "/google.pubsub.v1.Subscriber/Acknowledge"
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.so_reuseport", 0),
)
_KEPT = ("x-goog-request-params",)
_Request, _Response = PublishRequest.pb(), PublishResponse.pb()


@dataclass(frozen=True, slots=True)
class Mischief:
    """What is done to messages; shares are probabilities."""

    drop: float = 0.0
    repeat: float = 0.0
    """Share that is published three times."""
    delay: float = 0.0
    """Share that is published later, so that others overtake it."""
    delay_s: float = 10.0
    """The longest delay."""
    refuse_publish: bool = False
    lose_acks: float = 0.0


class BusProxy:
    """Listens at `near` (`host:port`) and stands before the emulator at `far`."""

    def __init__(self, near: str, far: str, journal: Journal, chance: random.Random) -> None:
        self.near = near
        self._far = far
        self._journal = journal
        self._random = chance
        self._mischief: list[Mischief] = []
        self._late: set[asyncio.Task[None]] = set()
        self._numbers = count(1)
        self.dropped = 0
        self._channel: Any = None
        self._server: Any = None

    async def open(self) -> None:
        """Listen."""
        self._channel = grpc.aio.insecure_channel(self._far, options=_OPTIONS)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Everything(self),))
        self._server.add_insecure_port(self.near)
        await self._server.start()

    async def close(self) -> None:
        """Listen no more; delayed messages are lost."""
        for task in self._late:
            task.cancel()
        await self._server.stop(None)
        await self._channel.close()

    @contextmanager
    def under(self, mischief: Mischief) -> Iterator[None]:
        """With this done to messages, besides what is done already."""
        self._mischief.append(mischief)
        try:
            yield
        finally:
            self._mischief.remove(mischief)

    def share(self, name: str) -> float:
        """The highest share of one kind in force."""
        return max((float(getattr(one, name)) for one in self._mischief), default=0.0)

    async def handle(self, method: str, request: bytes, context: Any) -> bytes:
        """One call of a service."""
        if method == _PUBLISH:
            return await self._published(request, context)
        if method == _ACKNOWLEDGE and self._random.random() < self.share("lose_acks"):
            return b""
        return await self._forward(method, request, context)

    async def _published(self, request: bytes, context: Any) -> bytes:
        if self.share("refuse_publish"):
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the harness refuses to publish")
        asked = _Request.FromString(request)
        fates = [self._fate() for _ in asked.messages]
        for message, fate in zip(asked.messages, fates, strict=True):
            self._note(message, fate)
        now = _Request(topic=asked.topic)
        for message, fate in zip(asked.messages, fates, strict=True):
            if fate == "late":
                self._later(_Request(topic=asked.topic, messages=[message]))
            elif fate != "dropped":
                now.messages.extend([message] * (3 if fate == "repeated" else 1))
        if now.messages:
            await self._forward(_PUBLISH, now.SerializeToString(), context)
        ids = [f"harness-{next(self._numbers)}" for _ in asked.messages]
        return _Response(message_ids=ids).SerializeToString()

    def _fate(self) -> str:
        if self._random.random() < self.share("drop"):
            self.dropped += 1
            return "dropped"
        if self._random.random() < self.share("repeat"):
            return "repeated"
        return "late" if self._random.random() < self.share("delay") else "sent"

    def _later(self, request: Any) -> None:
        delay_s = self._random.uniform(0.1, self.share("delay_s"))
        task = asyncio.create_task(self._send_late(request, delay_s))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _send_late(self, request: Any, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        with suppress(grpc.aio.AioRpcError):
            await self._call(_PUBLISH, request.SerializeToString(), 10.0, ())

    async def _forward(self, method: str, request: bytes, context: Any) -> bytes:
        metadata = [(name, value) for name, value in context.invocation_metadata() if name in _KEPT]
        left_s = context.time_remaining()
        try:
            return await self._call(method, request, left_s or 60.0, metadata)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
            raise

    async def _call(self, method: str, request: bytes, timeout_s: float, metadata: Any) -> bytes:
        call = self._channel.unary_unary(method)
        answer: bytes = await call(request, timeout=timeout_s, metadata=metadata)
        return answer

    def _note(self, message: Any, fate: str) -> None:
        attributes = dict(message.attributes)
        if attributes.get("content-type", "").startswith("application/cloudevents"):
            values = json.loads(message.data)
            data = values.get("data")
        else:
            values = {name[3:]: value for name, value in attributes.items() if name.startswith("ce-")}
            data = _parsed(message.data)
        row = {name: values.get(name) for name in ("id", "type", "source", "subject", "sequence")}
        self._journal.write("bus", **row, data=data, fate=fate)


class _Everything(grpc.GenericRpcHandler):
    """All methods of all services: only unary calls are used."""

    def __init__(self, proxy: BusProxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method

        async def handle(request: bytes, context: Any) -> bytes:
            return await self._proxy.handle(method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
