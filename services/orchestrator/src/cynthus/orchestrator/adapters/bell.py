"""Wakes waiting requests of this process, also for what other replicas append."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from cynthus.store.ports import EventStore

_POLL_S = 60.0
_TOGETHER_S = 0.05


class _Waiter:
    def __init__(self) -> None:
        self.rung = asyncio.Event()
        self.closed = False

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring or after the time-out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.rung.wait()
        self.rung.clear()


class ProcessBell:
    """Keys to waiters. Once closed nobody waits any more."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[_Waiter]] = {}
        self._closed = False

    def ring(self, keys: Sequence[str]) -> None:
        """Wake the waiters on these keys."""
        for key in keys:
            for waiter in self._waiters.get(key, ()):
                waiter.rung.set()

    @contextmanager
    def listen(self, key: str) -> Iterator[_Waiter]:
        """Rings of one key, none lost between two waits."""
        waiter = _Waiter()
        waiter.closed = self._closed
        self._waiters.setdefault(key, set()).add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[key].discard(waiter)
            if not self._waiters[key]:
                del self._waiters[key]

    async def follow(self, store: EventStore) -> None:
        """Ring for what others append, until cancelled; then close."""
        try:
            async with store.appended() as appended:
                while True:
                    await appended.wait(_POLL_S)
                    if not appended.take():
                        self.ring(list(self._waiters))
                    await asyncio.sleep(_TOGETHER_S)
        except asyncio.CancelledError:
            self._close()
            raise

    def _close(self) -> None:
        """Let the waiting requests end, so that the process can."""
        self._closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.closed = True
                waiter.rung.set()
