"""The faults that were injected: what they excuse, and for how long."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, from `t0` to `t1` in seconds."""

    where: str
    t0: float
    t1: float
    kind: str
    target: str
    detail: str

    @property
    def seconds(self) -> float:
        return self.t1 - self.t0

    def hits(self, *names: str) -> bool:
        """Whether it was done to one of these, or says that it touched it."""
        return any(name in self.text for name in names)

    @property
    def text(self) -> str:
        """Everything it says of itself, to search in."""
        return f"{self.kind} {self.target} {self.detail}"


def _fault(where: str, fields: dict[str, Any]) -> Fault:
    t0 = float(fields["t0"])
    t1 = fields.get("t1")
    return Fault(
        where=where,
        t0=t0,
        t1=t0 if t1 is None else float(t1),
        kind=str(fields["kind"]).lower(),
        target=str(fields.get("target") or ""),
        detail=str(fields.get("detail") or ""),
    )


class Faults:
    """All faults in the order they began."""

    def __init__(self, lines: Iterable[tuple[str, dict[str, Any]]]) -> None:
        found = [_fault(where, fields) for where, fields in lines]
        self.all = sorted(found, key=lambda fault: fault.t0)

    def of(self, *words: str) -> list[Fault]:
        """Faults whose kind contains one of the words."""
        return [fault for fault in self.all if any(word in fault.kind for word in words)]

    def during(self, t0: float, t1: float) -> list[Fault]:
        """Faults that overlap a span."""
        return [fault for fault in self.all if fault.t0 <= t1 and fault.t1 >= t0]

    def deadline(self, since: float, allowed_s: float) -> float:
        """When something begun at `since` must be done: each fault met on the way gives the time anew."""
        due = since + allowed_s
        for fault in self.all:
            if fault.t0 <= due and fault.t1 >= since:
                due = max(due, fault.t1 + allowed_s)
        return due
