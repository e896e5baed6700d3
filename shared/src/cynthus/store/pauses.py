"""How long to wait before trying again while something is away."""

import asyncio
import random

_FIRST_S = 0.05
_LONGEST_S = 5.0


class Pauses:
    """Doubling, with jitter, until told that things work again."""

    def __init__(self, *, first_s: float = _FIRST_S, longest_s: float = _LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    async def sleep(self) -> None:
        """Wait between half and all of the current pause."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    def reset(self) -> None:
        """The next pause is the first one again."""
        self._next_s = self._first_s
