"""The user's program, and what may be done with it."""

import asyncio
from dataclasses import dataclass, field

from tests.simulation.loop import Process


class Dropped(Exception):
    """The attempt is not ours any more."""


@dataclass(slots=True)
class Program:
    """What the user's program itself tells over a channel that the platform never sees."""

    run_id: str
    epoch: int
    machine: str
    process: Process
    started: float
    ended: float | None = None
    exit_code: int | None = None
    written: int = 0
    outputs: str | None = None
    frozen: bool = False


@dataclass(slots=True)
class Control:
    """Whether an attempt shall stop, or is not ours any more."""

    stopped: str | None = None
    dropped: str | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, why: str) -> None:
        self.stopped = self.stopped or why
        self.changed.set()

    def drop(self, why: str) -> None:
        self.dropped = self.dropped or why
        self.changed.set()

    def check(self) -> None:
        if self.dropped:
            raise Dropped(self.dropped)
