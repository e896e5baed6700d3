"""I6: at most one unfenced machine per run at any instant, and no more machines than were asked for."""

from itertools import pairwise

from tests.verify.evidence import Evidence
from tests.verify.facts import Stream
from tests.verify.findings import Checked
from tests.verify.ledger import lives
from tests.verify.lines import Line

GRACE_S = 10.0
STOP_S = 5.0
"""From thawing to the refusal of a worker's next beat."""
TOLERANCE_S = 0.25
"""Between what two programs say of the same moment."""


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    for stream in evidence.runs.values():
        checked.looked_at += 1
        _held(stream, checked)
    for run, lines in evidence.side.items():
        _executions(evidence, run, lines, checked)
    _names(evidence, checked)
    _creations(evidence, checked)
    return checked


def _held(stream: Stream, checked: Checked) -> None:
    """A machine too many is given back by the very next decision; until then it is given no work."""
    holder: dict[int, str] = {}
    surplus: dict[str, str] = {}
    for fact in stream:
        machine = fact.data.get("machine")
        if fact.kind == "vm.ready" and fact.epoch is not None:
            if holder.setdefault(fact.epoch, str(machine)) != machine:
                surplus[str(machine)] = fact.where
        elif fact.kind == "machine.released":
            surplus.pop(str(machine), None)
        elif fact.kind == "attempt.started" and holder.get(fact.epoch or 0) != machine:
            checked.found(f"{stream.run}: attempt {fact.epoch} started on a second machine", fact.where)
        elif fact.decided and surplus:
            for name, where in surplus.items():
                checked.found(f"{stream.run}: {name} is a second machine and was kept", where, fact.where)
            surplus.clear()
    for name, where in surplus.items():
        checked.found(f"{stream.run}: {name} is a second machine and was kept", where)


def _executions(evidence: Evidence, run: str, lines: list[Line], checked: Checked) -> None:
    """Two executions of a run never overlap, as the programs themselves tell.

    Only a worker that was frozen cannot stop its program in time: then the fence alone protects.
    """
    spans: dict[tuple[int, int], tuple[Line, Line]] = {}
    for line in lines:
        key = (line["epoch"], line["pid"])
        first, _ = spans.get(key, (line, line))
        spans[key] = (first, line)
    checked.saw("executions", len(spans))
    ordered = sorted(spans.values(), key=lambda span: float(span[0]["t"]))
    longest: Line | None = None
    for after, last in ordered:
        overlap_s = 0.0 if longest is None else float(longest["t"]) - float(after["t"])
        if longest is not None and overlap_s > TOLERANCE_S:
            if _frozen(evidence, run, longest, after):
                checked.saw("executions of frozen workers behind their fence")
            else:
                both = f"attempts {longest['epoch']} and {after['epoch']}"
                what = f"{run}: {both} ran together for {overlap_s:.2f} s"
                checked.found(what, longest.where, after.where)
        if longest is None or float(last["t"]) > float(longest["t"]):
            longest = last


def _frozen(evidence: Evidence, run: str, before: Line, after: Line) -> bool:
    """The earlier attempt was fenced, and its worker could not know; when it thaws it stops the program."""
    stream = evidence.runs.get(run)
    if stream is None or before["epoch"] >= after["epoch"]:
        return False
    machines = {str(fact.data["machine"]) for fact in stream.all("vm.ready", epoch=before["epoch"])}
    begun = float(after["t"])
    stopped_s = evidence.number("grace_s", GRACE_S) + STOP_S
    return any(
        fault.t0 < begun and float(before["t"]) < fault.t1 + stopped_s and fault.hits(run, *machines)
        for fault in evidence.faults.of("freeze", "stop", "pause")
    )


def _names(evidence: Evidence, checked: Checked) -> None:
    """One name is one machine at a time, in all zones together."""
    by_name: dict[str, list[tuple[float, float, str]]] = {}
    for life in lives(evidence):
        checked.saw("machines")
        end = float("inf") if life.dead is None else life.dead
        by_name.setdefault(life.machine, []).append((life.born, end, life.born_at))
    for name, spans in by_name.items():
        spans.sort()
        for (_, end, where), (born, _, again) in pairwise(spans):
            if born < end:
                checked.found(f"machine {name} was created while it was there", where, again)


def _creations(evidence: Evidence, checked: Checked) -> None:
    """Each creation answers a request, keeps one machine ready, or replaces one that went by itself."""
    requests = sum(len(stream.epochs) for stream in evidence.runs.values())
    found = lives(evidence)
    replaced = sum(life.end in {"preempted", "vanished"} for life in found)
    refused = sum(line["what"] == "refused" for line in evidence.lines("provider"))
    allowed = 2 * (requests + int(evidence.number("warm"))) + replaced + refused
    if len(found) > allowed:
        checked.found(f"{len(found)} machines were created for {requests} requests", found[-1].born_at)
