"""Does the builds that were started: plan, lock, image. Safe to be killed anywhere and run again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import structlog

from cynthus.builder.domain.build import Built, Failed
from cynthus.builder.ports import Builds, Job
from cynthus.bus.ports import BusUnavailable
from cynthus.events import Cause
from cynthus.store.ports import StoreUnavailable

log = structlog.get_logger()

_LEASE = timedelta(seconds=30)
_RENEW_S = 10.0
_POLL_S = 2.0
_MOST_ATTEMPTS = 8
_FIRST_DELAY_S = 2.0
_MOST_DELAY_S = 60.0

Finish = Callable[[str, Built | Failed, float], Awaitable[None]]


class Workshop:
    """Claims builds and does them, a few at once."""

    def __init__(
        self,
        builds: Builds,
        work: Callable[[Job], Awaitable[Built | Failed]],
        finish: Finish,
        nudged: asyncio.Event,
        *,
        concurrency: int,
    ) -> None:
        self._builds = builds
        self._work = work
        self._finish = finish
        self._places = asyncio.Semaphore(concurrency)
        self._nudged = nudged

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._nudged.clear()
                with suppress(StoreUnavailable):
                    await self._drain(group)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), _POLL_S)

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._places.acquire()
            job = None
            try:
                job = await self._builds.claim(_LEASE)
            finally:
                if job is None:
                    self._places.release()
            if job is None:
                return
            group.create_task(self._do(job))

    async def _do(self, job: Job) -> None:
        renewal = asyncio.create_task(self._renew(job))
        begun = time.monotonic()
        try:
            outcome = await self._work(job)
            if isinstance(outcome, Failed) and outcome.transient:
                outcome = await self._put_off(job, outcome)
            await self._finish(job.run_id, outcome, time.monotonic() - begun)
        except (StoreUnavailable, BusUnavailable) as error:
            log.info("build put off", run_id=job.run_id, reason=type(error).__name__)
        except Exception as error:
            log.exception("build broke", run_id=job.run_id)
            cause = Cause(
                code="build_error",
                message=f"The build stopped unexpectedly: {type(error).__name__}.",
                fix="Run it again; if it stays, the platform's log has the details.",
            )
            await self._finish(job.run_id, Failed(cause), time.monotonic() - begun)
        finally:
            renewal.cancel()
            self._places.release()

    async def _put_off(self, job: Job, failure: Failed) -> Failed:
        """A passing trouble is tried again later; the last time it counts."""
        if job.attempts >= _MOST_ATTEMPTS:
            return replace(failure, transient=False)
        delay_s = min(_MOST_DELAY_S, _FIRST_DELAY_S * 2 ** (job.attempts - 1))
        await self._builds.put_off(job.run_id, timedelta(seconds=delay_s))
        return failure

    async def _renew(self, job: Job) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            with suppress(StoreUnavailable):
                await self._builds.renew(job.run_id, _LEASE)
