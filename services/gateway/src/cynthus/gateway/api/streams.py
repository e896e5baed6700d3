"""Server-sent events: a long poll turned into a stream that can be resumed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from cynthus.gateway.domain.problems import HistoryUnavailable, RunMissing, TooManyStreams

PING_S = 15.0
_RETRY_MS = 1000
_AGAIN_S = 0.5
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Batch:
    """What a poll brought: (id, name, content) of each event, where to go on, and whether that was all."""

    events: Sequence[tuple[str, str, Any]]
    cursor: str | None
    over: bool = False


Poll = Callable[[str | None, float], Awaitable[Batch]]
"""Called with a cursor and how many seconds it may wait for news."""


class EventStreams:
    """All open streams: at most `per_owner` each, all ended by `stop`."""

    def __init__(self, per_owner: int) -> None:
        self._per_owner = per_owner
        self._open: Counter[str] = Counter()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """A background task whose end ends the streams, so that they do not hold up the process."""
        self._stopping.clear()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._stopping.set()

    async def respond(self, owner: str, cursor: str | None, poll: Poll) -> EventSourceResponse:
        """A stream of what `poll` brings; the first poll decides between a stream and an error."""
        if self._open[owner] >= self._per_owner:
            raise TooManyStreams(f"{self._per_owner} streams are open already")
        first = await poll(cursor, 0.0)
        return _ClosingStream(self._frames(owner, first, poll), headers=_HEADERS)

    async def _frames(self, owner: str, batch: Batch, poll: Poll) -> AsyncIterator[bytes]:
        # Claimed here and not before: a generator that never starts gives nothing back.
        with self._claim(owner) as allowed:
            if not allowed:
                yield format_sse_event(event="error", data_str='{"code":"too_many_streams"}')
                return
            yield format_sse_event(retry=_RETRY_MS)
            while True:
                for frame in _render(batch):
                    yield frame
                if batch.over:
                    yield format_sse_event(event="end", data_str="{}", id=batch.cursor)
                    return
                following = await self._next(batch, poll)
                if following is None:
                    return
                if not following.events and not following.over:
                    yield format_sse_event(comment="ping")
                batch = following

    async def _next(self, batch: Batch, poll: Poll) -> Batch | None:
        """The next batch, an empty one while history is away, None when the process stops."""
        polling = asyncio.ensure_future(poll(batch.cursor, PING_S))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([polling, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not polling.done():
                return None
            return await polling
        except RunMissing:
            return None
        except HistoryUnavailable:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _AGAIN_S)
            return None if self._stopping.is_set() else Batch((), batch.cursor)
        finally:
            polling.cancel()
            stopping.cancel()

    @contextmanager
    def _claim(self, owner: str) -> Iterator[bool]:
        allowed = self._open[owner] < self._per_owner
        self._open[owner] += allowed
        try:
            yield allowed
        finally:
            self._open[owner] -= allowed
            if not self._open[owner]:
                del self._open[owner]


class _ClosingStream(EventSourceResponse):
    """Gives its generator back what it claimed as soon as the client is gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().__call__(scope, receive, send)


def _render(batch: Batch) -> Iterator[bytes]:
    for identity, name, content in batch.events:
        yield format_sse_event(event=name, data_str=orjson.dumps(content).decode(), id=identity)
