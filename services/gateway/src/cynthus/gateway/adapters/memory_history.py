"""Run history in memory: what a test tells it, with the waiting and paging of the real one."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from cynthus.gateway.domain.problems import HistoryRefused, HistoryUnavailable, RunMissing
from cynthus.gateway.domain.resources import FINAL_STATES
from cynthus.gateway.ports import Document, Json, RunFilter, Untaken

_MIN_PREFIX = 8


class MemoryRunHistory:
    """Runs by owner; `tell` changes them and wakes whoever waits."""

    def __init__(self) -> None:
        self.away = False
        self.offered: list[Untaken] = []
        self._runs: dict[tuple[str, str], Json] = {}
        self._past: dict[str, list[tuple[datetime, Json]]] = {}
        self._events: dict[str, list[Json]] = {}
        self._chunks: dict[str, list[Json]] = {}
        self._changes: list[tuple[str, Json]] = []
        self._changed = asyncio.Condition()

    async def tell(
        self,
        owner: str,
        run: Json,
        *,
        event: str = "changed",
        log: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Note a run as it is now, an event that made it so, what it wrote, and when."""
        async with self._changed:
            run_id = run["id"]
            self._runs[owner, run_id] = run
            self._past.setdefault(run_id, []).append((at or datetime.now(UTC), run))
            events = self._events.setdefault(run_id, [])
            events.append({"version": len(events) + 1, "kind": event, "data": {}})
            cursor = f"0-{len(self._changes) + 1}"
            self._changes.append((owner, {**events[-1], "run": run_id, "cursor": cursor}))
            if log is not None:
                chunks = self._chunks.setdefault(run_id, [])
                chunk = {"cursor": f"1-{len(chunks)}", "source": "stdout", "attempt": 1, "text": log}
                chunks.append(chunk)
            self._changed.notify_all()

    async def runs(
        self, owner: str, wanted: RunFilter, *, page_size: int, page_token: str | None
    ) -> Document:
        """A page, newest first."""
        self._reach()
        mine = [run for (of, _), run in self._runs.items() if of == owner and _fits(run, wanted)]
        left = sorted((run for run in mine if run["id"] < (page_token or "~")), key=_id, reverse=True)
        more = len(left) > page_size
        following = left[page_size - 1]["id"] if more else None
        return Document.of({"runs": left[:page_size], "next_page_token": following})

    async def run(self, owner: str, reference: str) -> Document:
        """By id, prefix or name."""
        self._reach()
        mine = sorted((run for (of, _), run in self._runs.items() if of == owner), key=_id, reverse=True)
        prefixed = [run for run in mine if run["id"].startswith(reference)]
        if len(reference) >= _MIN_PREFIX and len(prefixed) > 1:
            raise HistoryRefused(409, "run_ambiguous", "the prefix fits several runs")
        found = prefixed if len(reference) >= _MIN_PREFIX and prefixed else []
        found += [run for run in mine if run["name"] == reference]
        if not found:
            raise RunMissing("there is no such run")
        return Document.of(found[0])

    async def run_at(self, owner: str, reference: str, moment: datetime) -> Document:
        """As it stood then."""
        found = (await self.run(owner, reference)).read()
        stood = [run for at, run in self._past[found["id"]] if at <= moment]
        if not stood:
            raise RunMissing("there is no such run")
        return Document.of(stood[-1])

    async def why(self, owner: str, reference: str) -> Document:
        """Every event, each because of the one before."""
        found = (await self.run(owner, reference)).read()
        chain = [
            {**event, "text": event["kind"], "because": [event["version"] - 1][: event["version"] - 1]}
            for event in self._events[found["id"]]
        ]
        return Document.of({"run": found["id"], "state": found["state"], "chain": chain})

    async def events(self, owner: str, run_id: str, *, after: int, wait_s: float) -> Document:
        """Events after a version."""

        def look() -> tuple[Json, bool]:
            over = self._own(owner, run_id)["state"] in FINAL_STATES
            found = self._events[run_id][after:]
            return {"events": found, "over": over}, bool(found) or over

        return await self._until(look, wait_s)

    async def logs(self, owner: str, run_id: str, query: Mapping[str, str], *, wait_s: float) -> Document:
        """Chunks after a cursor."""

        def look() -> tuple[Json, bool]:
            over = self._own(owner, run_id)["state"] in FINAL_STATES
            chunks = self._chunks.get(run_id, [])
            after = query.get("after")
            start = next((i + 1 for i, chunk in enumerate(chunks) if chunk["cursor"] == after), 0)
            found = chunks[start : start + int(query.get("limit", 200))]
            cursor = found[-1]["cursor"] if found else after
            return {"chunks": found, "cursor": cursor, "over": over}, bool(found) or over

        return await self._until(look, wait_s)

    async def offer(self, run: Untaken) -> None:
        """Keep it in `offered`."""
        self._reach()
        self.offered.append(run)

    async def delete(self, owner: str, run_id: str, *, results: Literal["keep", "delete"]) -> None:
        """Forget a run that is over."""
        if self._own(owner, run_id)["state"] not in FINAL_STATES:
            raise HistoryRefused(409, "run_is_not_over", f"results {results}: the run is not over")
        del self._runs[owner, run_id]

    async def status(self, owner: str) -> Json:
        """Counts by state."""
        self._reach()
        states = [run["state"] for (of, _), run in self._runs.items() if of == owner]
        return {"runs": {state: states.count(state) for state in sorted(set(states))}}

    async def changes(self, owner: str, *, after: str | None, wait_s: float) -> Document:
        """Changes after a cursor; without one, from now on."""
        begin = len(self._changes) if after is None else int(after.partition("-")[2])

        def look() -> tuple[Json, bool]:
            self._reach()
            found = [change for of, change in self._changes[begin:] if of == owner]
            return {"events": found, "cursor": f"0-{max(begin, len(self._changes))}"}, bool(found)

        return await self._until(look, wait_s)

    def _own(self, owner: str, run_id: str) -> Json:
        self._reach()
        if (owner, run_id) not in self._runs:
            raise RunMissing("there is no such run")
        return self._runs[owner, run_id]

    def _reach(self) -> None:
        if self.away:
            raise HistoryUnavailable("run history is away")

    async def _until(self, look: Callable[[], tuple[Json, bool]], wait_s: float) -> Document:
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait_for(lambda: look()[1])
            return Document.of(look()[0])


def _id(run: Json) -> str:
    return str(run["id"])


def _fits(run: Json, wanted: RunFilter) -> bool:
    labels = {f"{key}:{value}" for key, value in run["labels"].items()}
    return (
        wanted.project in {None, run["project"]}
        and wanted.name in {None, run["name"]}
        and (not wanted.states or run["state"] in wanted.states)
        and labels.issuperset(wanted.labels)
    )
