"""I20: what clients saw of each run is explained by some order of {create, get, cancel, commit}."""

from tests.verify.evidence import Evidence
from tests.verify.facts import TERMINAL, Stream
from tests.verify.findings import Checked
from tests.verify.linearizability import NEVER, Operation
from tests.verify.linearizability import check as search
from tests.verify.lines import Line
from tests.verify.run_model import NOTHING, Run, Shown, step

COMMIT_S = 3.0
"""How long after its own time a fact is committed at the latest, when the bus did not tell earlier."""
EFFECT_S = 60.0
"""How long an acknowledged cancellation may be on its way, from the end of the faults it meets."""
EARLY_S = 0.05
OPERATIONS = frozenset({"create", "get", "cancel", "delete"})


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    for run, lines in evidence.client.items():
        history = operations(evidence, run, lines)
        if not history:
            continue
        checked.looked_at += 1
        checked.saw("operations", len(history))
        checked.saw("without an answer", sum(operation.pending for operation in history))
        known = any(operation.name == "create" for operation in history)
        verdict = search(history, step, NOTHING if known else Run(id=run))
        if not verdict.linearizable:
            shown = ", ".join(operation.name for operation in verdict.stuck)
            wheres = [operation.where for operation in verdict.stuck if operation.where]
            checked.found(f"{run}: no order of its {len(history)} operations explains {shown}", *wheres)
    return checked


def operations(evidence: Evidence, run: str, lines: list[Line]) -> list[Operation]:
    """The history of one run; versions are looked at by `session_reads`."""
    found = [
        Operation(
            name=line["op"],
            called=float(line["t0"]),
            returned=NEVER if line.get("status") is None else float(line["t1"]),
            argument=run if line["op"] == "create" else None,
            result=_shown(line),
            where=line.where,
        )
        for line in lines
        if line["op"] in OPERATIONS
    ]
    for cancel in [operation for operation in found if operation.name == "cancel" and _good(operation)]:
        due = evidence.faults.deadline(cancel.returned, EFFECT_S)
        found.append(Operation("cancel_effect", cancel.called, due, where=cancel.where))
    stream = evidence.runs.get(run)
    return found if stream is None else [*found, *_commit(evidence, stream)]


def _good(operation: Operation) -> bool:
    return isinstance(operation.result, Shown) and operation.result.good


def _shown(line: Line) -> Shown | None:
    if line.get("status") is None:
        return None
    answer = line.get("answer")
    if not isinstance(answer, dict) or not 200 <= line["status"] < 300:
        return Shown(line["status"])
    return Shown(line["status"], answer.get("id"), answer.get("state"))


def _commit(evidence: Evidence, stream: Stream) -> list[Operation]:
    """The run's end: after its own time, and before it was seen on the bus."""
    end = stream.terminal
    if end is None:
        return []
    before = max((fact.at for fact in stream if fact.version < end.version and fact.exact), default=0.0)
    called = end.at - EARLY_S if end.exact else min(before, end.at)
    returned = max(called, evidence.committed_by(end, COMMIT_S))
    return [Operation("commit", called, returned, TERMINAL[end.kind], where=end.where)]
