"""No accepted run stays queued for ever because its request could not be read where it was to be driven."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from cynthus.gateway.domain.problems import HistoryRefused, HistoryUnavailable
from cynthus.gateway.ports import RunHistory, Submissions
from cynthus.store.ports import StoreUnavailable

_AT_ONCE = 100
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Offers:
    """Offers history the runs that it has not taken over `after_s` after they were accepted.

    That is long after the bus, and the catching up behind it, have brought whatever can be brought.
    """

    submissions: Submissions
    history: RunHistory
    after_s: float = 600.0
    every_s: float = 60.0
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _after: str = field(default="", init=False)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.0) * self.every_s)  # noqa: S311 - jitter
            try:
                await self.tick()
            except StoreUnavailable as outage:
                _log.warning("offers cannot see the database", error=str(outage))

    async def tick(self) -> None:
        """Offer what is overdue. One that is not taken does not keep the others waiting: they are next."""
        before = self.now() - timedelta(seconds=self.after_s)
        overdue = await self.submissions.untaken(before, after=self._after, limit=_AT_ONCE)
        self._after = overdue[-1].run_id if len(overdue) == _AT_ONCE else ""
        for run in overdue:
            run_id = run.run_id
            _log.warning("history has not taken a run over: it is offered again", run_id=run_id)
            try:
                await self.history.offer(run)
            except HistoryRefused as refusal:
                _log.warning("an offer was refused", run_id=run_id, error=str(refusal))
            except HistoryUnavailable as outage:
                _log.warning("an offer was not heard", run_id=run_id, error=str(outage))
                self._after = run_id
                return
