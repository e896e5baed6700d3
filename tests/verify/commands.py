"""I10: one idempotency key is one run with one answer; an acknowledged cancellation holds."""

from collections.abc import Iterable

from tests.verify.evidence import Evidence
from tests.verify.facts import Stream
from tests.verify.findings import Checked
from tests.verify.lines import Line, accepted
from tests.verify.outbox import canonical

GRACE_S = 10.0
"""Between SIGTERM and SIGKILL, unless the settings say otherwise."""
SLACK_S = 5.0
FIXED = ("id", "name", "project", "created_at")
"""What of a run's first answer may not differ in a repeated one."""


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    _keys(evidence, checked)
    _recorded_keys(evidence, checked)
    for run, lines in evidence.client.items():
        cancels = [line for line in lines if line["op"] == "cancel" and accepted(line)]
        if cancels:
            _cancelled(evidence, run, cancels, checked)
    for stream in evidence.runs.values():
        _stopped(evidence, stream, checked)
    return checked


def _keys(evidence: Evidence, checked: Checked) -> None:
    by_key: dict[str, list[Line]] = {}
    for line in evidence.lines("client"):
        if line["op"] == "create" and line.get("key") is not None:
            by_key.setdefault(str(line["key"]), []).append(line)
    for key, lines in by_key.items():
        checked.looked_at += 1
        good = [line for line in lines if accepted(line) and isinstance(line.get("answer"), dict)]
        checked.saw("repeated requests", len(lines) - 1)
        for line in good[1:]:
            first = good[0]
            for name in FIXED:
                if line["answer"].get(name) != first["answer"].get(name):
                    what = f"key {key} was answered with another {name}"
                    checked.found(what, first.where, line.where)
                    break
            if line.get("sent") and first.get("sent") and canonical(line["sent"]) != canonical(first["sent"]):
                checked.found(f"key {key} was accepted for another request", first.where, line.where)


def _recorded_keys(evidence: Evidence, checked: Checked) -> None:
    seen: dict[tuple[str, str], str] = {}
    for stream in evidence.streams("gateway").values():
        requested = stream.first("run.requested")
        key = None if requested is None else requested.data.get("idempotency_key")
        if requested is None or key is None:
            continue
        owned = (str(requested.data.get("owner")), str(key))
        if owned in seen:
            checked.found(f"key {key} led to two runs", seen[owned], requested.where)
        seen[owned] = requested.where


def _cancelled(evidence: Evidence, run: str, cancels: list[Line], checked: Checked) -> None:
    checked.looked_at += 1
    checked.saw("cancellations acknowledged")
    gateway = evidence.streams("gateway").get(run)
    asked = None if gateway is None else gateway.first("run.cancel-requested")
    stream = evidence.runs.get(run)
    end = None if stream is None else stream.terminal
    if asked is None:
        if end is None or end.at > min(float(line["t1"]) for line in cancels):
            checked.found(f"{run}: a cancellation was acknowledged and never recorded", cancels[0].where)
        return
    if stream is None:
        return
    heard = stream.first("run.cancel-requested")
    if heard is None and end is not None:
        due = evidence.faults.deadline(asked.at, evidence.number("terminal_within_s", 60.0))
        if end.at > due:
            checked.found(f"{run}: its cancellation was not heard in time", asked.where, end.where)


def _stopped(evidence: Evidence, stream: Stream, checked: Checked) -> None:
    """Once the cancellation is a fact no attempt is asked for, and the program ends."""
    heard = stream.first("run.cancel-requested")
    if heard is None:
        return
    checked.looked_at += 1
    for fact in stream.all("machine.requested"):
        if fact.version > heard.version:
            what = f"{stream.run}: attempt {fact.epoch} was asked for after its cancellation"
            checked.found(what, heard.where, fact.where)
    told = evidence.seen_on_bus.get(heard.id, heard.at)
    allowed_s = evidence.number("grace_s", GRACE_S) + evidence.number("machine_grace_s") + SLACK_S
    due = evidence.faults.deadline(max(told, heard.at, _taken(evidence, stream)), allowed_s)
    lines = evidence.side.get(stream.run, [])
    if lines:
        checked.lasted("a program beyond its cancellation", float(lines[-1]["t"]) - heard.at)
    started = [line for line in lines if line["what"] == "start" and float(line["t"]) > due]
    if lines and float(lines[-1]["t"]) > due:
        late_s = float(lines[-1]["t"]) - due
        what = f"{stream.run}: its program ran {late_s:.1f} s longer than a cancelled one may"
        checked.found(what, heard.where, *_wheres([lines[-1], *started]))


def _taken(evidence: Evidence, stream: Stream) -> float:
    """A copy has its original's time; it was taken over no later than the next decision shows."""
    heard = stream.first("run.cancel-requested")
    assert heard is not None
    before = [fact.at for fact in stream if fact.version < heard.version and fact.decided]
    return max(before, default=0.0)


def _wheres(lines: Iterable[Line]) -> list[str]:
    return list(dict.fromkeys(line.where for line in lines))
