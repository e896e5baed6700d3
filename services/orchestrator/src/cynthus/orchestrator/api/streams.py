"""Answers that wait: as soon as there is something new, or when the time is over."""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cynthus.orchestrator.api.resources import change_resource, chunk_resource, event_resource
from cynthus.orchestrator.handlers.logs import Logs
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.orchestrator.handlers.refusals import RunNotFound
from cynthus.orchestrator.ports import Bell, Feed, Runs
from cynthus.store.ports import Position
from cynthus.web.problems import Refused

_LOOK_AGAIN_S = 1.0
_EVENTS = 1000
_ID = re.compile(r"run_[0-9a-z]{26}")
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Streams:
    """Events and logs of runs, live and later the same."""

    runs: Runs
    recent: RecentRuns
    logs_: Logs
    feed: Feed
    bell: Bell
    monotonic: Callable[[], float] = time.monotonic

    async def events(self, owner: str, key: str, after: int, wait_s: float) -> dict[str, Any]:
        """The facts of a run after a version."""
        run_id = await self._id(owner, key)

        async def look() -> tuple[dict[str, Any], bool]:
            # Whoever waits will ask again, so what this process knows is enough; others want all there is.
            facts, over = self.recent.facts(owner, run_id, after) if wait_s else [], False
            if not facts and not (wait_s and self.recent.is_newest(owner, run_id, after)):
                found = await self.feed.history(owner, run_id, after, _EVENTS)
                if found is None:
                    raise _no_run(key)
                facts, over = found.facts, found.over
            return {"events": [event_resource(fact) for fact in facts], "over": over}, bool(facts) or over

        return await self._until(f"events:{run_id}", wait_s, look)

    async def logs(
        self,
        owner: str,
        key: str,
        after: str | None,
        wait_s: float,
        *,
        source: str | None,
        epoch: int | None,
        limit: int,
    ) -> dict[str, Any]:
        """Chunks of a run's log after a cursor; `over` once there can be no more."""
        begin = (0, -1) if after is None else _numbers(after)
        run_id = await self._id(owner, key)

        async def look() -> tuple[dict[str, Any], bool]:
            read = await self.logs_.read(owner, run_id, begin, limit, source=source, epoch=epoch)
            if read is None:
                raise _no_run(key)
            found, over = read
            chunks = [chunk_resource(chunk, data) for chunk, data in found]
            cursor = chunks[-1]["cursor"] if chunks else after
            return {"chunks": chunks, "cursor": cursor, "over": over}, bool(chunks) or over

        return await self._until(f"logs:{run_id}", wait_s, look)

    async def changes(self, owner: str, after: str | None, wait_s: float) -> dict[str, Any]:
        """Facts about all runs of an owner after a cursor; without one, those from now on."""
        position = None if after is None else _numbers(after)

        async def look() -> tuple[dict[str, Any], bool]:
            nonlocal position
            found, position = await self.feed.feed(owner, position, _EVENTS)
            cursor = _cursor(position)
            return {"events": [change_resource(fact) for fact in found], "cursor": cursor}, bool(found)

        return await self._until(f"owner:{owner}", wait_s, look)

    async def _id(self, owner: str, key: str) -> str:
        return key if _ID.fullmatch(key) else (await self.runs.find(owner, key)).id

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


def _no_run(key: str) -> RunNotFound:
    return RunNotFound(f"there is no run {key!r}")


def _numbers(cursor: str) -> Position:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise Refused(422, "invalid_cursor", "the cursor is none of ours", hint="Begin without one.")
    return int(match[1]), int(match[2])


def _cursor(position: Position) -> str:
    return "-".join(str(part) for part in position)
