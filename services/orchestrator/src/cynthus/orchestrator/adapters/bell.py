"""Wakes waiting requests of this process."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


class _Waiter:
    def __init__(self, bell: "ProcessBell") -> None:
        self._bell = bell
        self.rung = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring or after the time-out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.rung.wait()
        self.rung.clear()


class ProcessBell:
    """Keys to waiters."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[_Waiter]] = {}

    def ring(self, keys: Sequence[str]) -> None:
        """Wake the waiters on these keys."""
        for key in keys:
            for waiter in self._waiters.get(key, ()):
                waiter.rung.set()

    def ring_all(self, prefix: str = "") -> None:
        """Wake the waiters on every key that begins like this."""
        self.ring([key for key in self._waiters if key.startswith(prefix)])

    @contextmanager
    def listen(self, key: str) -> Iterator[_Waiter]:
        """Rings of one key, none lost between two waits."""
        waiter = _Waiter(self)
        self._waiters.setdefault(key, set()).add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[key].discard(waiter)
            if not self._waiters[key]:
                del self._waiters[key]
