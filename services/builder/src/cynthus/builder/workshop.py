"""Does the builds that were started: plan, lock, image. Safe to be killed anywhere and run again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from cynthus.builder.domain.build import Built, Failed
from cynthus.builder.ports import Builds, Job
from cynthus.bus.ports import BusUnavailable
from cynthus.events import Cause
from cynthus.runtime.crash_points import reach
from cynthus.store.ports import StoreUnavailable

log = structlog.get_logger()

_GIVE_BACK_S = 2.0

Finish = Callable[[str, Built | Failed, float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take, and how often a build is tried; `limit_s` is the longest of one try."""

    lease: timedelta = timedelta(seconds=30)
    poll_s: float = 2.0
    limit_s: float = 1800.0
    most_attempts: int = 8
    first_delay_s: float = 2.0
    most_delay_s: float = 60.0


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
        pace: Pace | None = None,
    ) -> None:
        self._builds = builds
        self._work = work
        self._finish = finish
        self._places = asyncio.Semaphore(concurrency)
        self._nudged = nudged
        self._pace = pace or Pace()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._nudged.clear()
                with suppress(StoreUnavailable):
                    await self._drain(group)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), self._pace.poll_s)

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._places.acquire()
            job = None
            try:
                job = await self._builds.claim(self._pace.lease)
            finally:
                if job is None:
                    self._places.release()
            if job is None:
                return
            reach("build.claimed")
            group.create_task(self._do(job))

    async def _do(self, job: Job) -> None:
        renewal = asyncio.create_task(self._renew(job))
        begun = time.monotonic()
        try:
            outcome = await self._outcome(job)
            if isinstance(outcome, Failed) and outcome.transient:
                outcome = await self._put_off(job, outcome)
            reach("build.before_finish")
            await self._finish(job.run_id, outcome, time.monotonic() - begun)
            reach("build.finished")
        except asyncio.CancelledError:
            await self._give_back(job)
            raise
        except (StoreUnavailable, BusUnavailable) as error:
            log.info("build put off", run_id=job.run_id, reason=type(error).__name__)
        except Exception:  # its lease ends, and it is claimed again; other builds go on
            log.exception("build has no recorded end", run_id=job.run_id)
        finally:
            renewal.cancel()
            self._places.release()

    async def _outcome(self, job: Job) -> Built | Failed:
        """Whatever a build does to us, it ends. Raises StoreUnavailable, BusUnavailable."""
        if job.attempts > self._pace.most_attempts:
            log.error("build given up", run_id=job.run_id, attempts=job.attempts)
            return _given_up(self._pace.most_attempts)
        limit = asyncio.timeout(self._pace.limit_s)
        try:
            async with limit:
                return await self._work(job)
        except (StoreUnavailable, BusUnavailable):
            raise
        except Exception as error:
            if limit.expired():
                log.warning("build took too long", run_id=job.run_id, seconds=self._pace.limit_s)
                return _too_slow(self._pace.limit_s)
            log.exception("build broke", run_id=job.run_id)
            return _broke(error)

    async def _put_off(self, job: Job, failure: Failed) -> Failed:
        """A passing trouble is tried again later; the last time it counts."""
        if job.attempts >= self._pace.most_attempts:
            return replace(failure, transient=False)
        delay_s = min(self._pace.most_delay_s, self._pace.first_delay_s * 2 ** (job.attempts - 1))
        await self._builds.put_off(job.run_id, timedelta(seconds=delay_s))
        return failure

    async def _give_back(self, job: Job) -> None:
        """We are told to stop: another builder need not wait for the end of our lease."""
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_GIVE_BACK_S):
                await self._builds.put_off(job.run_id, timedelta(0))

    async def _renew(self, job: Job) -> None:
        while True:
            await asyncio.sleep(self._pace.lease.total_seconds() / 3)
            with suppress(StoreUnavailable):
                await self._builds.renew(job.run_id, self._pace.lease)


def _broke(error: Exception) -> Failed:
    return Failed(
        Cause(
            code="build_error",
            message=f"The build stopped unexpectedly: {type(error).__name__}.",
            fix="Run it again; if it stays, the platform's log has the details.",
        )
    )


def _given_up(attempts: int) -> Failed:
    return Failed(
        Cause(
            code="build_abandoned",
            message=f"The builder stopped {attempts} times while it worked on this build.",
            fix="The platform's operator looks at the builder's log and memory; then run it again.",
        )
    )


def _too_slow(seconds: float) -> Failed:
    return Failed(
        Cause(
            code="build_timeout",
            message=f"The build was not done after {seconds:g} seconds.",
            fix="Run it again; if it stays, remove what is slow to fetch or to build, or have the"
            " platform's operator raise CYNTHUS_BUILDER_BUILD_SECONDS.",
        )
    )
