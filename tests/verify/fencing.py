"""I4: once an attempt is fenced, no write of it is accepted, nor of an earlier one."""

from tests.verify.evidence import Evidence
from tests.verify.facts import TERMINAL, Fact, Stream
from tests.verify.findings import Checked
from tests.verify.lines import Line, accepted, seconds

TOLERANCE_S = 3.0
"""Between a fact's own time and the end of its commit; and before an answer, when only that was noted."""

REPORTS = ("attempt.started", "checkpoint.saved", "attempt.exited", "logs.sealed", "outputs.committed")
WRITES = frozenset({"heartbeat", "logs", "exited", "finished", "started", "checkpoint"})


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    fences = {run: found for run, stream in evidence.runs.items() if (found := _fences(stream))}
    checked.saw("fences", sum(len(found) for found in fences.values()))
    for run, found in fences.items():
        _in_history(evidence.runs[run], found, checked)
    for row in evidence.rows("orchestrator.log_chunks"):
        checked.saw("log chunks")
        fence = _lost(fences, row["run_id"], row["epoch"])
        if fence is not None:
            late_s = seconds(row["at"]) - fence.at - TOLERANCE_S
            if late_s > 0:
                what = f"{row['run_id']}: log of attempt {row['epoch']} taken {late_s:.1f} s after its fence"
                checked.found(what, row.where, fence.where)
    for line in evidence.lines("worker"):
        if line["call"] in WRITES and line.get("run") and line.get("epoch") is not None:
            checked.looked_at += 1
            _write(evidence, line, fences, checked)
    return checked


def _fences(stream: Stream) -> dict[int, Fact]:
    """Each fenced attempt with the fact that fenced it: it was lost, or another one was asked for."""
    found: dict[int, Fact] = {}
    for epoch in stream.epochs:
        for fact in stream:
            lost = fact.kind == "attempt.lost" and fact.epoch == epoch
            newer = fact.kind == "machine.requested" and (fact.epoch or 0) > epoch
            if lost or newer:
                found[epoch] = fact
                break
    return found


def _lost(fences: dict[str, dict[int, Fact]], run: str, epoch: int) -> Fact | None:
    """The first fence of this attempt or of a later one."""
    found = [fence for fenced, fence in fences.get(run, {}).items() if fenced >= epoch]
    return min(found, key=lambda fence: fence.version, default=None)


def _in_history(stream: Stream, fences: dict[int, Fact], checked: Checked) -> None:
    for fact in stream.all(*REPORTS):
        fence = _lost({stream.run: fences}, stream.run, fact.epoch or 0)
        if fence is not None and fact.version > fence.version:
            what = f"{stream.run}: {fact.kind} of attempt {fact.epoch} was taken after its fence"
            checked.found(what, fact.where, fence.where)


def _write(evidence: Evidence, line: Line, fences: dict[str, dict[int, Fact]], checked: Checked) -> None:
    run, epoch = str(line["run"]), int(line["epoch"])
    fence = _lost(fences, run, epoch) or _over(evidence, line, run)
    if fence is None:
        return
    asked = _asked(line)
    if asked <= evidence.committed_by(fence, TOLERANCE_S):
        return
    if accepted(line) and not _repeats(evidence, line, run, epoch):
        late_s = asked - fence.at
        what = f"{run}: {line['call']} of attempt {epoch} accepted {late_s:.1f} s after its fence"
        checked.found(what, line.where, fence.where)
    elif line.get("status") in {401, 403, 409, 410}:
        checked.saw("late writes refused")


def _asked(line: Line) -> float:
    """When the request went to the platform, if the proxy noted both ends of it."""
    if line.get("t0") is not None:
        return float(line["t0"])
    return float(line["t"]) - (0.0 if line.get("answered") is not None else TOLERANCE_S)


def _over(evidence: Evidence, line: Line, run: str) -> Fact | None:
    """A run that is over takes no more either; a heartbeat may still learn that it is to stop."""
    stream = evidence.runs.get(run)
    return None if stream is None or line["call"] == "heartbeat" else stream.first(*TERMINAL)


def _repeats(evidence: Evidence, line: Line, run: str, epoch: int) -> bool:
    """An attempt that delivered everything may say so again: it is answered as before."""
    stream = evidence.runs[run]
    complete = stream.first("outputs.committed", epoch=epoch) is not None
    lost = stream.first("attempt.lost", epoch=epoch) is not None
    return complete and not lost and line["call"] in {"exited", "finished", "started"}
