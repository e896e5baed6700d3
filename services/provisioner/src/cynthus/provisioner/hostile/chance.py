"""Seeded decisions: each kind has a sequence of its own, so that one kind does not shift another."""

import random
from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


class Dice:
    """The same seed makes the same decisions; a restart goes on with numbers of its own."""

    def __init__(self, seed: int, restart: int = 0) -> None:
        self._seed = f"{seed}.{restart}"
        self._kinds: dict[str, random.Random] = {}

    def happens(self, kind: str, chance: float) -> bool:
        """True with this probability. A number is drawn in any case, so that knobs do not shift it."""
        return self._of(kind).random() < chance

    def between(self, kind: str, span: tuple[float, float]) -> float:
        """A number between the two."""
        low, high = span
        return low + (high - low) * self._of(kind).random()

    def one_of(self, kind: str, items: Sequence[_Item]) -> _Item:
        """One of them."""
        return items[int(self._of(kind).random() * len(items))]

    def _of(self, kind: str) -> random.Random:
        if kind not in self._kinds:
            self._kinds[kind] = random.Random(f"{self._seed}/{kind}")  # noqa: S311 - repeatable is the point
        return self._kinds[kind]
