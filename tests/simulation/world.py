"""What one seed consists of: time, chance, the trace, and what was seen to be wrong."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulation.cells import Cells
from tests.simulation.faults import Faults
from tests.simulation.loop import PROCESS, Process, VirtualLoop

BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)


class Violation(Exception):
    """A promise was broken."""


class World:
    """Shared by all models of one seed."""

    def __init__(self, seed: int, loop: VirtualLoop, *, verbose: bool = False) -> None:
        self.seed = seed
        self.loop = loop
        self.verbose = verbose
        self.chance = random.Random(f"chance {seed}")
        self.faults = Faults(random.Random(f"faults {seed}"), loop.time)
        self.cells = Cells()
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.lines: list[str] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self.outside = _outside()

    @property
    def now(self) -> float:
        """Seconds since the beginning, in truth."""
        return self.loop._now

    def true_time(self) -> datetime:
        """The clock of the database, which nobody skews."""
        return BEGINNING + timedelta(seconds=self.loop._now)

    def trace(self, *what: object) -> None:
        """Something happened; the sum of it all tells whether two runs of a seed are the same."""
        line = f"{self.loop._now:.4f} {' '.join(map(str, what))}"
        self._hash.update(line.encode())
        if self.verbose:
            self.lines.append(line)

    def wrong(self, promise: str, detail: str) -> None:
        """A promise was broken."""
        self.trace("VIOLATION", promise, detail)
        self.violations.append(f"{promise}: {detail} (at {self.now:.3f} s)")

    def digest(self) -> str:
        """Equal for equal runs."""
        ending = (
            f"{self.loop.steps} {self.loop._now!r} {self.chance.random()!r} {self.faults.chance.random()!r}"
        )
        self._hash.update(ending.encode())
        return self._hash.hexdigest()

    def later(self, delay_s: float, call: Callable[..., Any], *arguments: object) -> None:
        """Call from outside all processes: what is on its way arrives, whoever sent it."""
        self.loop.call_later(delay_s, call, *arguments, context=self.outside)

    def latency(self) -> float:
        """Of one hop, in seconds: mostly short, seldom long."""
        chance = self.chance.random()
        return 0.0005 + 0.004 * chance if chance < 0.97 else 0.2 * self.chance.random()


def _outside() -> Context:
    context = copy_context()
    context.run(PROCESS.set, None)
    return context


def inside(process: Process) -> Context:
    """A context whose callbacks belong to a process."""
    context = copy_context()
    context.run(PROCESS.set, process)
    return context
