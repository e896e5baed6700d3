"""Follows what another service decided, slowly and behind the bus: what the bus lost is only late."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import structlog

from cynthus.bus.backoff import Backoff
from cynthus.bus.ports import BusUnavailable, Undecodable
from cynthus.runtime.crash_points import reach
from cynthus.store.consumer import Consumer
from cynthus.store.feed import Fact, Feed, FeedUnavailable, id_of
from cynthus.store.inbox import Inbox
from cynthus.store.ports import START, Checkpoint, Position, PositionUnknown, StoreUnavailable

_OUTAGES = (StoreUnavailable, BusUnavailable, FeedUnavailable)
_AT_ONCE = 8
_FIRST_LOOK_S = 1.0
_FAREWELL_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds: a look every `every_s`; what is missing then has `settle_s` more to come by the bus."""

    every_s: float = 10.0
    settle_s: float = 5.0


class CatchUp:
    """Hands a consumer the facts of one peer that it has not handled. One replica does it at a time."""

    def __init__(
        self,
        consumer: Consumer,
        inbox: Inbox,
        feed: Feed,
        checkpoint: Checkpoint,
        *,
        peer: str,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._consumer = consumer
        self._inbox = inbox
        self._feed = feed
        self._checkpoint = checkpoint
        self._rhythm = rhythm or Rhythm()
        self._log = _log.bind(service=consumer.service, peer=peer)
        self._position: Position | None = None
        self._backoff = Backoff()
        self._away = False

    async def run(self) -> None:
        """Follow until cancelled, through outages of the peer and of the store."""
        every_s = self._rhythm.every_s
        await asyncio.sleep(random.uniform(0.5, 1.0) * min(_FIRST_LOOK_S, every_s))  # noqa: S311 - jitter
        try:
            while True:
                await self._look()
                await asyncio.sleep(random.uniform(0.75, 1.25) * every_s)  # noqa: S311 - jitter
        finally:
            with suppress(*_OUTAGES, TimeoutError):
                async with asyncio.timeout(_FAREWELL_S):
                    await self._checkpoint.release()

    async def _look(self) -> None:
        """One round; an outage is told once, until it is over."""
        try:
            if not await self._checkpoint.mine():
                self._position = None
                self._consumer.forget()
                return
            await self.round()
        except _OUTAGES as error:
            self._position = None
            if not self._away:
                self._log.warning("cannot follow facts now", error=str(error))
            self._away = True
        else:
            self._away = False

    async def round(self) -> None:
        """Hand over everything that is missing up to now. Raises StoreUnavailable, FeedUnavailable."""
        position = self._position if self._position is not None else await self._begin()
        while True:
            try:
                page = await self._feed.page(position)
                missing = await self._missing(page.ids)
                if missing:
                    await asyncio.sleep(self._rhythm.settle_s)
                    missing = await self._missing(missing)
                if missing:
                    self._log.warning("facts did not come by the bus", count=len(missing))
                    reach("catch_up.before_hand_over")
                    await self._hand_over(await self._feed.facts(position, missing))
                    reach("catch_up.handed_over")
            except PositionUnknown:
                self._log.warning("the peer's history is an earlier one than before: read from its start")
                position = START
                continue
            if page.next != position:
                await self._checkpoint.save(page.next)
                reach("catch_up.checkpoint_saved")
            self._position = position = page.next
            if not page.more:
                return

    async def _begin(self) -> Position:
        saved = await self._checkpoint.load()
        return saved if saved != START else await self._feed.beginning()

    async def _missing(self, ids: Sequence[str]) -> list[str]:
        unknown = [fact_id for fact_id in ids if not self._consumer.has_done(fact_id)]
        if not unknown:
            return []
        done = await self._inbox.done(self._consumer.service, unknown)
        return [fact_id for fact_id in unknown if fact_id not in done]

    async def _hand_over(self, facts: Sequence[Fact]) -> None:
        """Until each is handled or parked: the consumer counts the tries."""
        for attempt in count(1):
            facts = await self._try(facts)
            if not facts:
                return
            await asyncio.sleep(self._backoff.delay_s(attempt))

    async def _try(self, facts: Iterable[Fact]) -> list[Fact]:
        """Those that failed. Facts of one stream go in order, streams side by side."""
        streams: defaultdict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            streams[id_of(fact) if isinstance(fact, Undecodable) else fact.envelope.stream].append(fact)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def stream(ordered: Sequence[Fact]) -> list[Fact]:
            async with turns:
                return [fact for fact in ordered if not await self._handled(fact)]

        tasks = [asyncio.create_task(stream(ordered)) for ordered in streams.values()]
        try:
            failed = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [fact for some in failed for fact in some]

    async def _handled(self, fact: Fact) -> bool:
        try:
            await self._consumer.handle(fact)
        except _OUTAGES:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the fact is tried again until it is parked
            self._log.warning("could not handle a fact", fact=id_of(fact), error=repr(error))
            return False
        return True
