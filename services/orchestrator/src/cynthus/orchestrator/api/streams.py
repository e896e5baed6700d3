"""Answers that wait: as soon as there is something new, or when the time is over."""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cynthus.orchestrator.api.resources import change_resource, chunk_resource, event_resource
from cynthus.orchestrator.domain.run import Run
from cynthus.orchestrator.handlers.logs import Logs
from cynthus.orchestrator.ports import Bell, Feed, Runs
from cynthus.store.ports import EventStore, Position
from cynthus.web.problems import Refused

_LOOK_AGAIN_S = 1.0
_EVENTS = 1000
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Streams:
    """Events and logs of runs, live and later the same."""

    runs: Runs
    store: EventStore
    logs_: Logs
    feed: Feed
    bell: Bell
    monotonic: Callable[[], float] = time.monotonic

    async def events(self, owner: str, key: str, after: int, wait_s: float) -> dict[str, Any]:
        """The facts of a run after a version."""
        run = await self.runs.find(owner, key)

        async def look() -> tuple[dict[str, Any], bool]:
            found = await self.store.read(f"run-{run.id}", after=after, limit=_EVENTS)
            now = await self.runs.find(owner, run.id)
            seen = found[-1].envelope.sequence if found else after
            over = now.over and seen >= now.version
            return {"events": [event_resource(fact) for fact in found], "over": over}, bool(found) or over

        return await self._until(f"run:{run.id}", wait_s, look)

    async def logs(
        self,
        run: Run,
        after: str | None,
        wait_s: float,
        *,
        source: str | None,
        epoch: int | None,
        limit: int,
    ) -> dict[str, Any]:
        """Chunks of a run's log after a cursor; `over` once there can be no more."""
        begin = (0, -1) if after is None else _numbers(after)

        async def look() -> tuple[dict[str, Any], bool]:
            over = (await self.runs.find(run.owner, run.id)).over
            found, more = await self.logs_.read(run, begin, limit, source, epoch)
            chunks = [chunk_resource(chunk, data) for chunk, data in found]
            over = over and not more
            cursor = chunks[-1]["cursor"] if chunks else after
            return {"chunks": chunks, "cursor": cursor, "over": over}, bool(chunks) or over

        return await self._until(f"run:{run.id}", wait_s, look)

    async def changes(self, owner: str, after: str | None, wait_s: float) -> dict[str, Any]:
        """Facts about all runs of an owner after a cursor; without one, those from now on."""
        position = None if after is None else _numbers(after)

        async def look() -> tuple[dict[str, Any], bool]:
            nonlocal position
            found, position = await self.feed.feed(owner, position, _EVENTS)
            cursor = _cursor(position)
            return {"events": [change_resource(fact) for fact in found], "cursor": cursor}, bool(found)

        return await self._until(f"owner:{owner}", wait_s, look)

    async def _until(
        self, key: str, wait_s: float, look: Callable[[], Awaitable[tuple[_Answer, bool]]]
    ) -> _Answer:
        until = self.monotonic() + wait_s
        with self.bell.listen(key) as wakeup:
            while True:
                answer, enough = await look()
                left = until - self.monotonic()
                if enough or left <= 0 or wakeup.closed:
                    return answer
                await wakeup.wait(min(left, _LOOK_AGAIN_S))


def _numbers(cursor: str) -> Position:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise Refused(422, "invalid_cursor", "the cursor is none of ours", hint="Begin without one.")
    return int(match[1]), int(match[2])


def _cursor(position: Position) -> str:
    return "-".join(str(part) for part in position)
