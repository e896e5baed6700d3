"""Runs as their owner sees them: history, and before it the runs it has not taken over yet."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cynthus.gateway.domain.problems import RunAmbiguous, RunMissing, TimeToCome
from cynthus.gateway.domain.resources import queued_run
from cynthus.gateway.handlers.acknowledgements import Acknowledgements
from cynthus.gateway.ports import Accepted, Document, Json, RunFilter, RunHistory, Submissions

_ID = re.compile(r"run_[0-9a-z]{26}")
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,80}")
_ASK_AGAIN_S = 0.25
_CLOCKS_DIFFER = timedelta(seconds=60)


class RunReader:
    """Never answers that a run is missing once it was accepted."""

    def __init__(
        self,
        history: RunHistory,
        submissions: Submissions,
        acknowledgements: Acknowledgements,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._history = history
        self._submissions = submissions
        self._acknowledgements = acknowledgements
        self._now = now

    async def find(self, owner: str, reference: str) -> Json:
        """A Run resource by id, prefix or name. Raises RunMissing or RunAmbiguous."""
        return (await self.show(owner, reference)).read()

    async def show(self, owner: str, reference: str) -> Document:
        """The same, as a document."""
        if not _REFERENCE.fullmatch(reference):
            raise RunMissing("there is no such run")
        if _ID.fullmatch(reference):
            return await self._show_id(owner, reference)
        # Before history: a run that is not pending any more is known there.
        pending = await self._submissions.pending(owner, reference)
        try:
            known = await self._history.run(owner, reference)
        except RunMissing:
            if pending is None:
                raise
            return Document.of(_resource(pending))
        return known if pending is None else _newer(pending, known, reference)

    async def _show_id(self, owner: str, run_id: str) -> Document:
        with suppress(RunMissing):
            return await self._history.run(owner, run_id)
        pending = await self._submissions.pending(owner, run_id)
        if pending is not None:
            return Document.of(_resource(pending))
        # Perhaps history took it over between the two looks.
        return await self._history.run(owner, run_id)

    async def show_at(self, owner: str, reference: str, moment: datetime) -> Document:
        """A Run resource as it stood. Raises RunMissing when it was not asked for yet, or TimeToCome."""
        if moment > self._now() + _CLOCKS_DIFFER:
            raise TimeToCome("this moment has not come yet")
        run_id = await self.resolve(owner, reference)
        try:
            return await self._history.run_at(owner, run_id, moment)
        except RunMissing:
            pending = await self._submissions.pending(owner, run_id)
            if pending is None or pending.created_at > moment:
                raise
        return Document.of(_resource(pending))

    async def why(self, owner: str, reference: str) -> Document:
        """The chain of facts behind a run's state; of an accepted one there is none yet."""
        run_id = await self.resolve(owner, reference)
        try:
            return await self._history.why(owner, run_id)
        except RunMissing:
            pending = await self._submissions.pending(owner, run_id)
            if pending is None:
                raise
        return Document.of({"run": run_id, "state": _resource(pending)["state"], "chain": []})

    async def resolve(self, owner: str, reference: str) -> str:
        """The id that a reference stands for; a full id stands for itself, whether there or not."""
        if _ID.fullmatch(reference):
            return reference
        run_id: str = (await self.find(owner, reference))["id"]
        return run_id

    async def page(
        self, owner: str, wanted: RunFilter, *, page_size: int, page_token: str | None
    ) -> Document:
        """A page of Run resources, newest first; the first one also has those not taken over yet."""
        pending: list[Accepted] = []
        if page_token is None:
            pending = await self._submissions.list_pending(owner, wanted, limit=page_size)
        told = await self._history.runs(owner, wanted, page_size=page_size, page_token=page_token)
        if not pending:
            return told
        page = told.read()
        early = await self._early(owner, pending, page, wanted)
        runs = sorted([*map(_resource, early), *page["runs"]], key=lambda run: str(run["id"]), reverse=True)
        if len(runs) > page_size:
            runs = runs[:page_size]
            page["next_page_token"] = runs[-1]["id"]
        return Document.of({**page, "runs": runs})

    async def _early(
        self, owner: str, pending: list[Accepted], page: Json, wanted: RunFilter
    ) -> list[Accepted]:
        """Those that history does not know: it may know one, and have it on a later page or in another state.

        That history took a run over is only heard of later.
        """
        listed = {run["id"] for run in page["runs"]}
        oldest = min(listed, default="") if page["next_page_token"] else ""
        early = [run for run in pending if run.requested.run_id not in listed]
        early = [run for run in early if run.requested.run_id > oldest]
        if not wanted.states:
            return early
        known = await asyncio.gather(*(self._is_known(owner, run.requested.run_id) for run in early))
        return [run for run, there in zip(early, known, strict=True) if not there]

    async def _is_known(self, owner: str, run_id: str) -> bool:
        try:
            await self._history.run(owner, run_id)
        except RunMissing:
            return False
        return True

    async def events(self, owner: str, run_id: str, *, after: int, wait_s: float) -> Document:
        """Events of a run; of an accepted one none yet, and it is not over."""

        def ask(left_s: float) -> Awaitable[Document]:
            return self._history.events(owner, run_id, after=after, wait_s=left_s)

        nothing = Document.of({"events": [], "over": False})
        return await self._once_known(owner, run_id, ask, wait_s) or nothing

    async def logs(self, owner: str, run_id: str, query: Mapping[str, str], *, wait_s: float) -> Document:
        """Log chunks of a run; of an accepted one none yet, and it is not over."""

        def ask(left_s: float) -> Awaitable[Document]:
            return self._history.logs(owner, run_id, query, wait_s=left_s)

        nothing = Document.of({"chunks": [], "cursor": query.get("after"), "over": False})
        return await self._once_known(owner, run_id, ask, wait_s) or nothing

    async def _once_known(
        self, owner: str, run_id: str, ask: Callable[[float], Awaitable[Document]], wait_s: float
    ) -> Document | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        with self._acknowledgements.expecting(run_id) as arrived:
            if wait_s and self._acknowledgements.take_outstanding(owner, run_id):
                await _until(arrived, wait_s)
            while True:
                left_s = max(0.0, deadline - loop.time())
                with suppress(RunMissing):
                    return await ask(left_s)
                if await self._submissions.pending(owner, run_id) is None:
                    return await ask(left_s)
                if left_s == 0:
                    return None
                await _until(arrived, left_s)


async def _until(arrived: asyncio.Event, left_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(min(left_s, _ASK_AGAIN_S)):
            await arrived.wait()


def _resource(accepted: Accepted) -> Json:
    return queued_run(accepted.requested, accepted.created_at)


def _newer(pending: Accepted, told: Document, reference: str) -> Document:
    known, run_id = told.read(), pending.requested.run_id
    if run_id != known["id"] and pending.requested.name != reference:
        raise RunAmbiguous(f"{reference!r} fits several runs; give more of the id")
    return Document.of(_resource(pending)) if run_id > known["id"] else told
