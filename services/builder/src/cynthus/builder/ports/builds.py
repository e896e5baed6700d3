"""Builds under way, and what was built before."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cynthus.builder.domain.build import Built
from cynthus.builder.domain.lock import Lock
from cynthus.events import RunRequested


@dataclass(frozen=True, slots=True)
class Job:
    """A build that was started and has no end yet."""

    run_id: str
    key: str
    message: RunRequested
    attempts: int = 1


class Builds(Protocol):
    """Builds under way, and what was built before."""

    async def find(self, key: str) -> Built | None:
        """An image built earlier."""
        ...

    async def keep(self, key: str, built: Built) -> None:
        """Remember an image."""
        ...

    async def find_lock(self, key: str) -> Lock | None:
        """A lock resolved earlier."""
        ...

    async def keep_lock(self, key: str, lock: Lock) -> None:
        """Remember a lock."""
        ...

    async def claim(self, lease: timedelta) -> Job | None:
        """The oldest build that nobody works on, nor on its like; it is ours until the lease ends."""
        ...

    async def renew(self, run_id: str, lease: timedelta) -> None:
        """Keep a claimed build for longer."""
        ...

    async def put_off(self, run_id: str, delay: timedelta) -> None:
        """Give a claimed build back, to be claimed after a while."""
        ...
