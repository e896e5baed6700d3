"""I18: who saw a version never sees an older one; events read on end have no gap and no repetition."""

from typing import Any

from tests.verify.evidence import Evidence
from tests.verify.facts import Stream
from tests.verify.findings import Checked
from tests.verify.lines import Line, accepted, asked


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    reads: dict[str, list[tuple[float, float, int, str]]] = {}
    for line in evidence.lines("client"):
        if not accepted(line) or not isinstance(line.get("answer"), dict):
            continue
        for run, version in _versions(line):
            checked.looked_at += 1
            reads.setdefault(run, []).append((float(line["t0"]), float(line["t1"]), version, line.where))
        if line["op"] == "events" and line.get("run"):
            _events(line, evidence.runs.get(str(line["run"])), checked)
    for run, seen in reads.items():
        _never_back(run, seen, checked)
    return checked


def _versions(line: Line) -> list[tuple[str, int]]:
    """The runs that an answer shows, with their versions; a repeated `create` gets its first answer again."""
    answer: dict[str, Any] = line["answer"]
    if line["op"] in {"get", "cancel"} and "version" in answer and answer.get("id"):
        return [(str(answer["id"]), int(answer["version"]))]
    if line["op"] == "list":
        shown = answer.get("runs") or []
        return [(str(run["id"]), int(run["version"])) for run in shown if "version" in run]
    return []


def _never_back(run: str, seen: list[tuple[float, float, int, str]], checked: Checked) -> None:
    """A read that began after another was answered shows at least as much."""
    by_end = sorted(seen, key=lambda read: read[1])
    highest, shown, next_ = 0, "", 0
    for t0, _, version, where in sorted(seen):
        while next_ < len(by_end) and by_end[next_][1] < t0:
            if by_end[next_][2] > highest:
                highest, shown = by_end[next_][2], by_end[next_][3]
            next_ += 1
        if version < highest:
            checked.found(f"{run}: version {version} was shown after version {highest}", shown, where)


def _events(line: Line, stream: Stream | None, checked: Checked) -> None:
    after = int(asked(line, "after") or 0)
    shown = [event for event in line["answer"].get("events", []) if "version" in event]
    recorded = {} if stream is None else {fact.version: fact.id for fact in stream}
    for expected, event in enumerate(shown, start=after + 1):
        checked.saw("events read")
        version = int(event["version"])
        if version != expected:
            kind = "repeated" if version < expected else "missing"
            checked.found(f"{line['run']}: an event is {kind} before version {version}", line.where)
            return
        if "id" in event and recorded.get(version, event["id"]) != event["id"]:
            checked.found(f"{line['run']}: event {version} is not the one in history", line.where)
