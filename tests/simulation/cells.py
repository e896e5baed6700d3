"""Which (state, event, fault) cells were met: the coverage of a simulation."""

from collections import Counter

RECENT_S = 5.0


class Cells:
    """Counts of what happened to a run in which state while which fault was about."""

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, str, str]] = Counter()

    def hit(self, state: str, event: str, faults: set[str]) -> None:
        """An event happened to a run in a state."""
        for fault in faults or {"none"}:
            self.hits[state, event, fault] += 1
