"""Builds, images and locks in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cynthus.builder.domain.build import Built
from cynthus.builder.domain.lock import Lock
from cynthus.builder.ports import Job
from cynthus.events import (
    BuildFailed,
    BuildStarted,
    ImageBuilt,
    RunCancelled,
    RunFailed,
    RunRequested,
    RunSucceeded,
)
from cynthus.store.clock import Clock, utc_now
from cynthus.store.ports import Recorded

_LOST = frozenset({"image_missing"})


@dataclass(slots=True)
class _Started:
    key: str
    message: RunRequested
    attempts: int = 0
    leased_until: datetime | None = None


class MemoryBuilds:
    """The Builds port, and the projection that the builder's history keeps up to date."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self.builds: dict[str, _Started] = {}
        self._clock = clock
        self._images: dict[str, Built] = {}
        self._locks: dict[str, Lock] = {}
        self._asked: dict[str, RunRequested] = {}
        self._uses: dict[str, str] = {}

    async def find(self, key: str) -> Built | None:
        """An image built earlier."""
        return self._images.get(key)

    async def keep(self, key: str, built: Built) -> None:
        """Remember an image."""
        self._images.setdefault(key, built)

    async def find_lock(self, key: str) -> Lock | None:
        """A lock resolved earlier."""
        return self._locks.get(key)

    async def keep_lock(self, key: str, lock: Lock) -> None:
        """Remember a lock."""
        self._locks.setdefault(key, lock)

    async def claim(self, lease: timedelta) -> Job | None:
        """The oldest build that nobody works on, nor on its like."""
        now = self._clock()
        for run_id, build in self.builds.items():
            if any(other.key == build.key and _is_leased(other, now) for other in self.builds.values()):
                continue
            build.leased_until = now + lease
            build.attempts += 1
            return Job(run_id, build.key, build.message, build.attempts)
        return None

    async def renew(self, run_id: str, lease: timedelta) -> None:
        """Keep a claimed build for longer."""
        if run_id in self.builds:
            self.builds[run_id].leased_until = self._clock() + lease

    async def put_off(self, run_id: str, delay: timedelta) -> None:
        """Give a claimed build back, to be claimed after a while."""
        await self.renew(run_id, delay)

    def check(self, recorded: Sequence[Recorded]) -> None:
        """Nothing is refused."""

    def apply(self, recorded: Sequence[Recorded]) -> None:
        """Follow the history."""
        for fact in recorded:
            match fact.envelope.event:
                case RunRequested(run_id=run_id) as requested:
                    self._asked[run_id] = requested
                case BuildStarted(run_id=run_id, key=key):
                    self.builds[run_id] = _Started(key, self._asked[run_id])
                case ImageBuilt(run_id=run_id, image=image):
                    self.builds.pop(run_id, None)
                    self._uses.setdefault(run_id, image.digest)
                case BuildFailed(run_id=run_id, transient=False):
                    self.builds.pop(run_id, None)
                case RunSucceeded() | RunFailed() | RunCancelled() as ended:
                    self._over(ended)
                case _:
                    continue

    def reset(self) -> None:
        """Forget what the history can tell again."""
        self.builds.clear()
        self._uses.clear()

    def _over(self, ended: RunSucceeded | RunFailed | RunCancelled) -> None:
        used = self._uses.pop(ended.run_id, None)
        if isinstance(ended, RunFailed) and ended.cause.code in _LOST:
            self._images = {key: built for key, built in self._images.items() if built.image.digest != used}
        self.builds.pop(ended.run_id, None)


def _is_leased(build: _Started, now: datetime) -> bool:
    return build.leased_until is not None and build.leased_until >= now
