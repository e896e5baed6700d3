"""I1: each accepted run reaches exactly one terminal state, in time, and it never changes."""

from tests.verify.evidence import Evidence
from tests.verify.facts import TERMINAL, Stream
from tests.verify.findings import Checked
from tests.verify.lines import Line, accepted

WITHIN_S = 60.0
FINAL = frozenset(TERMINAL.values())


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    runs = accepted_runs(evidence)
    share_s = _work_after_heal(evidence) / max(1.0, evidence.number("slots", 1.0))
    for run, shown in sorted(runs.items()):
        checked.looked_at += 1
        stream = evidence.runs.get(run)
        if stream is None:
            checked.found(f"{run} was accepted and is not in history", shown)
            continue
        _one(evidence, stream, share_s, shown, checked)
    _bus(evidence, checked)
    for run, lines in evidence.client.items():
        _as_seen(evidence.runs.get(run), lines, checked)
    return checked


def accepted_runs(evidence: Evidence) -> dict[str, str]:
    """Each run that a client was promised, or that was recorded under a request without an answer."""
    found = {run: lines[0].where for run, lines in evidence.client.items() if any(map(_promise, lines))}
    for stream in evidence.streams("gateway").values():
        requested = stream.first("run.requested")
        if requested is not None:
            found.setdefault(stream.run, requested.where)
    return found


def _promise(line: Line) -> bool:
    return accepted(line) and line["op"] in {"create", "get", "cancel"}


def _one(evidence: Evidence, stream: Stream, share_s: float, shown: str, checked: Checked) -> None:
    ends = stream.all(*TERMINAL)
    if not ends:
        last = stream.facts[-1]
        checked.found(f"{stream.run} has no terminal state; its last fact is {last.kind}", shown, last.where)
        return
    if len(ends) > 1:
        names = ", then ".join(TERMINAL[fact.kind] for fact in ends)
        checked.found(f"{stream.run} ended {len(ends)} times: {names}", *(fact.where for fact in ends))
    checked.saw(TERMINAL[ends[0].kind])
    checked.lasted("from the last heal to an end", ends[0].at - evidence.number("healed_at"))
    late_s = ends[0].at - _due(evidence, stream, share_s)
    if late_s > 0:
        checked.found(f"{stream.run} ended {late_s:.1f} s later than it may after the faults", ends[0].where)


def _due(evidence: Evidence, stream: Stream, share_s: float) -> float:
    """A lease to notice a death of the last moment, the waits between attempts, its runtime, its turn."""
    since = max(evidence.number("healed_at"), stream.facts[0].at)
    waits_s = sum(float(fact.data.get("delay_s") or 0) for fact in stream.all("run.retry-scheduled"))
    allowed_s = evidence.number("terminal_within_s", WITHIN_S) + evidence.number("lease_s") + waits_s
    return since + allowed_s + _runtime(evidence, stream.run) + share_s


def _runtime(evidence: Evidence, run: str) -> float:
    """Seconds its own program ran, over all attempts, as the program itself told."""
    spans: dict[tuple[int, int], list[float]] = {}
    for line in evidence.side.get(run, []):
        spans.setdefault((line["epoch"], line["pid"]), []).append(float(line["t"]))
    return sum(max(times) - min(times) for times in spans.values())


def _work_after_heal(evidence: Evidence) -> float:
    """Seconds of work that were left when the faults were over; it is shared by the slots."""
    healed = evidence.number("healed_at")
    spans: dict[tuple[str, int, int], tuple[float, float]] = {}
    for run, lines in evidence.side.items():
        for line in lines:
            key = (run, line["epoch"], line["pid"])
            first, _ = spans.get(key, (float(line["t"]), 0.0))
            spans[key] = (first, float(line["t"]))
    return sum(max(0.0, last - max(first, healed)) for first, last in spans.values())


def _bus(evidence: Evidence, checked: Checked) -> None:
    """Other services were told of one end only."""
    told: dict[str, dict[str, str]] = {}
    for line in evidence.lines("bus"):
        kind = str(line["type"]).removeprefix("dev.cynthus.").rpartition(".v")[0]
        if kind in TERMINAL:
            told.setdefault(str(line["subject"]), {}).setdefault(str(line["id"]), line.where)
    for subject, ids in told.items():
        checked.saw("ends told on the bus")
        if len(ids) > 1:
            checked.found(f"{subject} was told to have ended {len(ids)} times", *ids.values())


def _as_seen(stream: Stream | None, lines: list[Line], checked: Checked) -> None:
    """No client was shown another end than the one in history."""
    state = None if stream is None else stream.state
    for line in lines:
        answer = line.get("answer")
        if (
            line["op"] not in {"create", "get", "cancel"}
            or not accepted(line)
            or not isinstance(answer, dict)
        ):
            continue
        seen = answer.get("state")
        if seen in FINAL:
            checked.saw("ends shown to clients")
            if state is not None and seen != state:
                checked.found(f"{answer.get('id')} was shown as {seen} and ended {state}", line.where)
