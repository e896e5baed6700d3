"""What a check found, and how much it looked at."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation, with the lines of evidence that show it."""

    what: str
    lines: tuple[str, ...] = ()


@dataclass(slots=True)
class Checked:
    """`looked_at` must not be small; `counts` is how much else was seen, `longest` in seconds."""

    looked_at: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)

    def found(self, what: str, *lines: str) -> None:
        """One more violation."""
        self.findings.append(Finding(what, lines))

    def saw(self, name: str, number: int = 1) -> None:
        """So much more was looked at."""
        self.counts[name] += number

    def lasted(self, name: str, seconds: float) -> None:
        """Something took so long."""
        self.longest[name] = round(max(seconds, self.longest.get(name, 0.0)), 3)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)
