"""What can go wrong at every await, how likely it is, and what was done."""

import random
from collections import Counter
from collections.abc import Callable

RECENT_S = 5.0


class Faults:
    """Drawn anew for each seed: some kinds never happen in it, others are frequent."""

    def __init__(self, chance: random.Random, now: Callable[[], float]) -> None:
        self.chance = chance
        self.injected: Counter[str] = Counter()
        self.healed = False
        self.gentle = False
        self._now = now
        self._likely: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._open: Counter[str] = Counter()

    def allow(self, kind: str, likely: float) -> None:
        """How likely a kind of fault is, each time it could happen."""
        self._likely[kind] = likely

    def hit(self, kind: str) -> bool:
        """Whether it happens now."""
        likely = self._likely.get(kind, 0.0)
        if self.healed or not likely or self.chance.random() >= likely:
            return False
        self.note(kind)
        return True

    def note(self, kind: str) -> None:
        """A fault was injected."""
        self.injected[kind] += 1
        self._last[kind] = self._now()

    def begin(self, kind: str) -> None:
        """A fault that lasts."""
        self.note(kind)
        self._open[kind] += 1

    def end(self, kind: str) -> None:
        """It is over."""
        self._open[kind] -= 1
        self._last[kind] = self._now()

    def about(self) -> set[str]:
        """Kinds that last now, or happened a moment ago."""
        since = self._now() - RECENT_S
        return {kind for kind, count in self._open.items() if count > 0} | {
            kind for kind, at in self._last.items() if at >= since
        }
