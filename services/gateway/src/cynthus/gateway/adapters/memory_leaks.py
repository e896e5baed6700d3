"""Machines left behind, as a test tells them."""

from datetime import datetime, timedelta

from cynthus.gateway.domain.problems import MachinesUnavailable
from cynthus.gateway.domain.resources import timestamp
from cynthus.gateway.ports import Document, Json


class MemoryLeaks:
    """`away`: the provisioner or its provider cannot be asked."""

    def __init__(self, checked_at: datetime) -> None:
        self.away = False
        self.machines = 0
        self._checked_at = checked_at
        self._leaks: list[Json] = []

    def leave(self, machine: str, age_s: float, reason: str = "nobody needs it", zone: str = "here") -> None:
        """A machine that nobody has needed for so long."""
        since = timestamp(self._checked_at - timedelta(seconds=age_s))
        leak = {"machine": machine, "zone": zone, "since": since, "reason": reason, "age_s": age_s}
        self._leaks.append(leak)
        self.machines += 1

    async def now(self) -> Document:
        """The leaks of this moment."""
        if self.away:
            raise MachinesUnavailable("the provisioner is away")
        shown = {"checked_at": timestamp(self._checked_at), "machines": self.machines}
        return Document.of({"leaks": self._leaks, **shown})
