"""I19: no run sits in a state beyond that state's deadline."""

from dataclasses import dataclass

from tests.verify.evidence import Evidence
from tests.verify.facts import TERMINAL, Fact, Stream
from tests.verify.findings import Checked

SLACK_S = 30.0
DEADLINES = {
    "QUEUED": 60.0,
    "BUILDING": 3600.0,
    "PROVISIONING": 900.0,
    "DELAYED": 7 * 86400.0,
    "STARTING": 3600.0,
    "RUNNING": 90 * 86400.0,
    "TERMINATING": 130.0,
    "UPLOADING": 6 * 3600.0,
}
"""Seconds; RUNNING is for runs without a time-out, RETRYING lasts as long as was said."""
TIMEOUT_SLACK_S = 310.0


FIELDS = {
    "run.queued": "queued",
    "image.built": "image",
    "dataset.ready": "data",
    "run.cancel-requested": "cancelled",
    "machine.delayed": "delayed",
    "vm.ready": "machine",
    "attempt.started": "started",
    "attempt.exited": "exited",
}
"""What each fact makes true."""


@dataclass(slots=True)
class Situation:
    """What decides a run's state, independently worked out from its facts."""

    requested: bool = False
    queued: bool = False
    timeout_s: float | None = None
    image: bool = False
    data: bool = True
    cancelled: bool = False
    delayed: bool = False
    machine: bool = False
    started: bool = False
    exited: bool = False
    retry_s: float | None = None
    over: bool = False

    @property
    def state(self) -> str:
        if self.over:
            return "OVER"
        if not self.requested:
            return "UNKNOWN"
        if not self.queued:
            return "QUEUED"
        if self.retry_s is not None:
            return "RETRYING"
        if self.exited:
            return "UPLOADING"
        if self.started:
            return "TERMINATING" if self.cancelled else "RUNNING"
        if not self.image or not self.data:
            return "BUILDING"
        return "STARTING" if self.machine else "DELAYED" if self.delayed else "PROVISIONING"

    def take(self, fact: Fact) -> None:
        """One more fact; each fills its own field."""
        match fact.kind:
            case "run.requested":
                spec = fact.data.get("spec") or {}
                self.requested, self.data, self.timeout_s = True, not spec.get("data"), spec.get("timeout_s")
            case "machine.requested":
                self.retry_s = None
                self.delayed = self.machine = self.started = self.exited = False
            case "run.retry-scheduled":
                self.retry_s = float(fact.data.get("delay_s") or 0)
            case kind if kind in TERMINAL:
                self.over = True
            case kind if kind in FIELDS:
                setattr(self, FIELDS[kind], True)

    def allowed_s(self, deadlines: dict[str, float]) -> float:
        """Seconds that this state may last."""
        if self.state == "RETRYING":
            return self.retry_s or 0.0
        if self.state == "RUNNING" and self.timeout_s is not None:
            return float(self.timeout_s) + deadlines.get("TIMEOUT_SLACK", TIMEOUT_SLACK_S)
        return deadlines.get(self.state, float("inf"))


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    deadlines = DEADLINES | {name: float(s) for name, s in evidence.settings.get("deadlines", {}).items()}
    for stream in evidence.runs.values():
        _one(evidence, stream, deadlines, checked)
    return checked


def _one(evidence: Evidence, stream: Stream, deadlines: dict[str, float], checked: Checked) -> None:
    situation = Situation()
    since, begun, latest = 0.0, "", 0.0
    for fact in stream:
        before, allowed_s = situation.state, situation.allowed_s(deadlines)
        situation.take(fact)
        latest = max(latest, fact.at)
        if situation.state != before or fact.kind == "run.retry-scheduled":
            if begun:
                _span(evidence, stream.run, before, (since, latest), allowed_s, checked, (begun, fact.where))
            since, begun = latest, fact.where
    if not situation.over and begun:
        span = (since, evidence.ended_at)
        _span(evidence, stream.run, situation.state, span, situation.allowed_s(deadlines), checked, (begun,))


def _span(
    evidence: Evidence,
    run: str,
    state: str,
    span: tuple[float, float],
    allowed_s: float,
    checked: Checked,
    lines: tuple[str, ...],
) -> None:
    checked.looked_at += 1
    checked.saw(state)
    if allowed_s == float("inf"):
        return
    due = span[0] + allowed_s + SLACK_S
    if evidence.faults.during(span[0], due):  # whoever could not look may wait a lease before he judges
        due = evidence.faults.deadline(span[0] + allowed_s, SLACK_S + evidence.number("lease_s"))
    if span[1] > due:
        what = f"{run} was {state} for {span[1] - span[0]:.1f} s, {allowed_s:.1f} s are allowed"
        checked.found(what, *lines)
