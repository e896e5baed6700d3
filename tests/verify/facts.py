"""Facts as rows of an events table, and a run's stream of them; written from docs/events.md."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_TYPE = re.compile(r"dev\.cynthus\.(?P<kind>.+)\.v\d+")
TERMINAL = {"run.succeeded": "SUCCEEDED", "run.failed": "FAILED", "run.cancelled": "CANCELLED"}


def kind_of(type_: str) -> str:
    """`dev.cynthus.attempt.lost.v1` is `attempt.lost`."""
    match = _TYPE.fullmatch(type_)
    return match["kind"] if match else type_


@dataclass(frozen=True, slots=True)
class Fact:
    """One row: `decided` is False for a copy of another service's fact; `at` in seconds."""

    where: str
    stream: str
    version: int
    id: str
    kind: str
    type: str
    source: str
    causation: str | None
    at: float
    decided: bool
    data: dict[str, Any]
    exact: bool = True
    """False: its clock was not believed, and it happened no later than `at`."""

    @property
    def run(self) -> str | None:
        found: str | None = self.data.get("run_id")
        return found

    @property
    def epoch(self) -> int | None:
        found: int | None = self.data.get("epoch")
        return found

    @property
    def cause(self) -> str | None:
        """The code of its cause."""
        cause = self.data.get("cause")
        return cause.get("code") if isinstance(cause, dict) else None


def fact_of(where: str, row: dict[str, Any], at: float, data: dict[str, Any]) -> Fact:
    return Fact(
        where=where,
        stream=str(row["stream"]),
        version=int(row["version"]),
        id=str(row["id"]),
        kind=kind_of(str(row["type"])),
        type=str(row["type"]),
        source=str(row["source"]),
        causation=row.get("causation_id"),
        at=at,
        decided=row["decided"] in {True, "t", "true"},
        data=data,
    )


@dataclass(slots=True)
class Stream:
    """The facts of one run, in version order."""

    run: str
    facts: list[Fact] = field(default_factory=list)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts)

    def all(self, *kinds: str, epoch: int | None = None) -> list[Fact]:
        return [fact for fact in self.facts if fact.kind in kinds and (epoch is None or fact.epoch == epoch)]

    def first(self, *kinds: str, epoch: int | None = None) -> Fact | None:
        found = self.all(*kinds, epoch=epoch)
        return found[0] if found else None

    @property
    def terminal(self) -> Fact | None:
        """The first fact that ended the run."""
        return self.first(*TERMINAL)

    @property
    def state(self) -> str | None:
        """The terminal state, if one was reached."""
        end = self.terminal
        return None if end is None else TERMINAL[end.kind]

    @property
    def epochs(self) -> list[int]:
        """The attempts that were asked for."""
        return sorted({fact.epoch for fact in self.all("machine.requested") if fact.epoch is not None})

    def fence(self, epoch: int) -> Fact | None:
        """The fact after which this attempt does not count: lost, tried again, or the run is over."""
        for fact in self.facts:
            if fact.kind in {"attempt.lost", "run.retry-scheduled"} and fact.epoch == epoch:
                return fact
            if fact.kind == "machine.requested" and (fact.epoch or 0) > epoch:
                return fact
            if fact.kind in TERMINAL:
                return fact
        return None


def gather(facts: Iterable[Fact]) -> dict[str, Stream]:
    """Streams named `run-<id>` by their run."""
    streams: dict[str, Stream] = {}
    for fact in facts:
        if fact.stream.startswith("run-"):
            run = fact.stream.removeprefix("run-")
            streams.setdefault(run, Stream(run)).facts.append(fact)
    for stream in streams.values():
        stream.facts.sort(key=lambda fact: fact.version)
    return streams
