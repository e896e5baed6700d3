"""What can be wrong with a network, as values that are put on a link and taken off again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """Troubles of one link; shares are probabilities, `up` is towards the server."""

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    hold_up: bool = False
    """Nothing goes up, connections stay open; what was sent arrives when the rule ends, as with TCP."""
    hold_down: bool = False
    refuse: bool = False
    """New connections are closed at once."""
    reset_first: float = 0.0
    """Share of connections that are reset before their first byte arrives."""
    cut: float = 0.0
    """Share of pieces at which the connection is reset."""
    lose_reply: float = 0.0
    """Share of requests that are done, and whose answer is replaced by a reset."""
    lose_commit: float = 0.0
    """The same for requests that say COMMIT."""
    fall_silent: float = 0.0
    """Share of connections that stay open and carry nothing any more."""


class Rules:
    """The rules of a link that are in force."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._changed = asyncio.Event()

    @contextmanager
    def under(self, rule: Rule) -> Iterator[None]:
        """With the rule in force."""
        self._rules.append(rule)
        try:
            yield
        finally:
            self._rules.remove(rule)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def passable(self, *, up: bool) -> None:
        """Wait until no rule holds this direction."""
        while any(rule.hold_up if up else rule.hold_down for rule in self._rules):
            await self._changed.wait()

    @property
    def refuse(self) -> bool:
        """Whether new connections are closed."""
        return any(rule.refuse for rule in self._rules)

    def pause_s(self, size: int) -> float:
        """How long a piece of so many bytes is on its way."""
        slow = [size / rule.bytes_per_s for rule in self._rules if rule.bytes_per_s]
        return sum(rule.delay_s for rule in self._rules) + sum(slow)

    def share(self, name: str) -> float:
        """The highest share of one kind of trouble in force."""
        return max((getattr(rule, name) for rule in self._rules), default=0.0)
