"""Measuring fairly: candidates alternate in one run, and what counts is the ratio of their medians."""

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Table:
    """One comparison. Rows are lists of cells, ready to print; `raw` holds every sample."""

    title: str
    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    aims: list["Aim"] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", _line(self.columns), _line(["---"] * len(self.columns))]
        lines += [_line(row) for row in self.rows]
        lines += ["", *(f"- {aim}" for aim in self.aims), *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Aim:
    """What was promised about a ratio, and what was found. `value` None: could not be measured."""

    what: str
    value: float | None
    at_most: float | None = None
    at_least: float | None = None
    is_ratio: bool = True

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    def __str__(self) -> str:
        said = ratio if self.is_ratio else number
        bound = (
            f"at most {said(self.at_most)}" if self.at_least is None else f"at least {said(self.at_least)}"
        )
        verdict = {True: "**met**", False: "**not met**", None: "not measured"}[self.met]
        return f"{self.what}: {bound}; found {said(self.value)}: {verdict}"


def alternate(
    candidates: Mapping[str, Callable[[], float]],
    rounds: int = 11,
    warmups: int = 1,
    budget_s: float = 120,
    settle_s: float = 0,
) -> dict[str, list[float]]:
    """Call each candidate in turn, `rounds` times; what they return is the sample.

    `settle_s`: a pause before each call, so that nobody pays for what the one before left behind.
    """
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    stop = time.monotonic() + budget_s
    for turn in range(-warmups, rounds):
        if time.monotonic() > stop:
            print(f"{turn} of {rounds} rounds took {budget_s:.0f} s; no more", file=sys.stderr)
            break
        for name, candidate in candidates.items():
            time.sleep(settle_s)
            sample = candidate()
            if turn >= 0:
                samples[name].append(sample)
    return samples


def median(samples: Iterable[float]) -> float | None:
    values = list(samples)
    return statistics.median(values) if values else None


def percentile(samples: Sequence[float], percent: float) -> float | None:
    """Nearest rank."""
    if not samples:
        return None
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def divide(value: float | None, by: float | None) -> float | None:
    return value / by if value is not None and by else None


def spread(samples: Sequence[float], scale: float = 1.0) -> str:
    """`median (least-most)`."""
    if not samples:
        return "absent"
    return (
        f"{number(median(samples) * scale)} ({number(min(samples) * scale)}-{number(max(samples) * scale)})"
    )


def number(value: float | None) -> str:
    """Three significant digits, no exponent."""
    if value is None:
        return "absent"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def ratio(value: float | None) -> str:
    """`x12.3`, or `1/12.3` below one."""
    if value is None:
        return "absent"
    return f"1/{number(1 / value)}" if 0 < value < 1 else f"x{number(value)}"


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
