"""Which fact may follow which in a run's stream: docs/protocols.md and docs/events.md as a table.

Facts of other services come in any order. What the orchestrator decides is ordered. Whether a fenced
attempt may still be heard is not asked here but in `fencing`, and whether it may start after a
cancellation in `commands`.
"""

from dataclasses import dataclass, field

from tests.verify.facts import TERMINAL, Fact

FOREIGN = {
    "run.requested": "gateway",
    "run.cancel-requested": "gateway",
    "build.started": "builder",
    "image.built": "builder",
    "build.failed": "builder",
    "dataset.ready": "datasets",
    "dataset.failed": "datasets",
    "machine.delayed": "provisioner",
    "vm.ready": "provisioner",
    "vm.failed": "provisioner",
    "vm.lost": "provisioner",
    "vm.deleted": "provisioner",
}
ONCE = frozenset(
    {"run.requested", "run.cancel-requested", "run.queued", "image.built", "dataset.ready", "dataset.failed"}
)
ONCE_PER_EPOCH = frozenset(
    {
        "machine.requested",
        "vm.failed",
        "vm.lost",
        "attempt.started",
        "attempt.exited",
        "attempt.lost",
        "logs.sealed",
        "outputs.committed",
        "run.retry-scheduled",
    }
)
OF_ATTEMPT = frozenset(
    {
        "attempt.started",
        "attempt.suspected",
        "checkpoint.saved",
        "attempt.exited",
        "logs.sealed",
        "outputs.committed",
        "attempt.lost",
        "run.retry-scheduled",
    }
)
AFTER_THE_END = frozenset({"machine.released"})
NEEDS_OF_EPOCH = {
    "machine.delayed": ("machine.requested",),
    "vm.ready": ("machine.requested",),
    "vm.failed": ("machine.requested",),
    "vm.lost": ("machine.requested",),
    "attempt.started": ("vm.ready",),
    "attempt.suspected": ("vm.ready",),
    "checkpoint.saved": ("vm.ready",),
    "attempt.exited": ("vm.ready",),
    "logs.sealed": ("attempt.exited",),
    "outputs.committed": ("logs.sealed",),
    "attempt.lost": ("machine.requested",),
    "machine.released": ("machine.requested",),
    "run.succeeded": ("attempt.exited", "logs.sealed", "outputs.committed"),
}
NEEDS = {
    "run.queued": ("run.requested",),
    "machine.requested": ("run.queued",),
    "attempt.started": ("image.built",),
    "run.succeeded": ("run.queued",),
    "run.failed": ("run.queued",),
    "run.cancelled": ("run.queued", "run.cancel-requested"),
}


@dataclass(slots=True)
class Path:
    """How far a run has come; `step` says why a fact may not be next."""

    seen: set[str] = field(default_factory=set)
    of_epoch: set[tuple[str, int]] = field(default_factory=set)
    epoch: int = 0
    machines: dict[int, set[str]] = field(default_factory=dict)
    exits: dict[int, Fact] = field(default_factory=dict)
    needs_data: bool = False
    retry_of: int | None = None
    over: bool = False

    def step(self, fact: Fact) -> str | None:
        """Take the fact in; the reason when it is illegal here."""
        refusal = self._origin(fact) or self._repeated(fact) or self._missing(fact) or self._decision(fact)
        self._take(fact)
        return refusal

    def _origin(self, fact: Fact) -> str | None:
        source = FOREIGN.get(fact.kind)
        if source is not None and (fact.decided or fact.source != source):
            return f"it is the {source}'s to decide"
        if source is None and not fact.decided:
            return "it is the orchestrator's to decide, and it is a copy"
        return None

    def _repeated(self, fact: Fact) -> str | None:
        epoch = fact.epoch or 0
        if fact.kind in ONCE and fact.kind in self.seen:
            return "it is there already"
        if fact.kind in ONCE_PER_EPOCH and (fact.kind, epoch) in self.of_epoch:
            return f"it is there already for attempt {epoch}"
        return None

    def _missing(self, fact: Fact) -> str | None:
        epoch = fact.epoch or 0
        for needed in NEEDS.get(fact.kind, ()):
            if needed not in self.seen:
                return f"no {needed} came before"
        for needed in NEEDS_OF_EPOCH.get(fact.kind, ()):
            if (needed, epoch) not in self.of_epoch:
                return f"no {needed} of attempt {epoch} came before"
        return None

    def _decision(self, fact: Fact) -> str | None:
        if fact.kind in FOREIGN:
            return None
        if self.over and fact.kind not in AFTER_THE_END | TERMINAL.keys():
            return "the run is over"
        match fact.kind:
            case "machine.requested":
                return self._requested(fact)
            case "attempt.started":
                return self._started(fact)
            case "run.retry-scheduled":
                return self._retried(fact)
            case "run.succeeded":
                return self._succeeded(fact)
            case kind if kind in OF_ATTEMPT and (fact.epoch or 0) > self.epoch:
                return f"attempt {fact.epoch} was not asked for"
            case _:
                return None

    def _requested(self, fact: Fact) -> str | None:
        if fact.epoch != self.epoch + 1:
            return f"attempt {fact.epoch} follows attempt {self.epoch}"
        if self.epoch and self.retry_of != self.epoch:
            return f"attempt {self.epoch} was not to be tried again"
        return None

    def _started(self, fact: Fact) -> str | None:
        if fact.data.get("machine") not in self.machines.get(fact.epoch or 0, set()):
            return f"machine {fact.data.get('machine')} was not held for it"
        if self.needs_data and "dataset.ready" not in self.seen:
            return "its data was not ready"
        if ("attempt.exited", fact.epoch or 0) in self.of_epoch:
            return "the attempt had exited"
        return None

    def _retried(self, fact: Fact) -> str | None:
        epoch = fact.epoch or 0
        if epoch != self.epoch:
            return f"attempt {epoch} is not the newest"
        exited = self.exits.get(epoch)
        failed = {("attempt.lost", epoch), ("vm.failed", epoch)} & self.of_epoch
        complete = ("outputs.committed", epoch) in self.of_epoch and exited is not None and not clean(exited)
        return None if failed or complete else f"attempt {epoch} has not failed"

    def _succeeded(self, fact: Fact) -> str | None:
        epoch = fact.epoch or 0
        if epoch != self.epoch or ("attempt.lost", epoch) in self.of_epoch:
            return f"attempt {epoch} does not count"
        exited = self.exits.get(epoch)
        return None if exited is None or clean(exited) else "the program did not exit with 0"

    def _take(self, fact: Fact) -> None:
        self.seen.add(fact.kind)
        epoch = fact.epoch
        if epoch is not None:
            self.of_epoch.add((fact.kind, epoch))
        if fact.kind == "run.requested":
            self.needs_data = bool((fact.data.get("spec") or {}).get("data"))
        elif fact.kind == "machine.requested":
            self.epoch, self.retry_of = max(self.epoch, epoch or 0), None
        elif fact.kind == "vm.ready" and epoch is not None:
            self.machines.setdefault(epoch, set()).add(str(fact.data.get("machine")))
        elif fact.kind == "attempt.exited" and epoch is not None:
            self.exits.setdefault(epoch, fact)
        elif fact.kind == "run.retry-scheduled":
            self.retry_of = epoch
        self.over = self.over or fact.kind in TERMINAL


def clean(exited: Fact) -> bool:
    """The program ended by itself, with 0."""
    return exited.data.get("exit_code") == 0 and not exited.data.get("signal") and exited.cause is None
