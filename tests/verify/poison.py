"""I14: a message that cannot be handled is put aside with its reason, and holds up nobody else."""

from tests.verify.evidence import Evidence
from tests.verify.findings import Checked
from tests.verify.lines import document

MOST_TRIES = 6
SLOWER = 2.0
FLOOR_S = 1.0
"""Delays below this are as good as none, on a machine that is being tormented."""
ENOUGH = 20


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    for schema in evidence.schemas():
        parked = _parked(evidence, schema, checked)
        for row in evidence.rows(f"{schema}.inbox"):
            checked.looked_at += 1
            tries = int(row.get("attempts") or 0)
            key = (str(row["consumer"]), str(row["event_id"]))
            if tries >= MOST_TRIES and row.get("handled_at") is None and key not in parked:
                what = f"{schema}: message {key[1]} was tried {tries} times and not put aside"
                checked.found(what, row.where)
    poisoned = evidence.faults.of("poison")
    checked.saw("poisoned messages", len(poisoned))
    if poisoned and not checked.counts["parked"]:
        checked.found("messages were poisoned and none was put aside", poisoned[0].where)
    _delays(evidence, checked)
    return checked


def _parked(evidence: Evidence, schema: str, checked: Checked) -> set[tuple[str, str]]:
    found = set()
    for row in evidence.rows(f"{schema}.parked"):
        checked.looked_at += 1
        checked.saw("parked")
        found.add((str(row["consumer"]), str(row["event_id"])))
        if not str(row.get("reason") or "").strip():
            checked.found(f"{schema}: message {row['event_id']} was put aside without a reason", row.where)
        run = _run(document(row.get("envelope")))
        stream = evidence.runs.get(run) if run else None
        if stream is not None and stream.terminal is None:
            checked.found(f"{run}: a message about it was put aside and it has no end", row.where)
    return found


def _run(envelope: object) -> str | None:
    """The run a message was about, as far as that can be told."""
    if not isinstance(envelope, dict):
        return None
    subject = envelope.get("subject")
    if isinstance(subject, str) and subject.startswith("runs/"):
        return subject.removeprefix("runs/")
    data = envelope.get("data")
    run = data.get("run_id") if isinstance(data, dict) else None
    return run if isinstance(run, str) else None


def _delays(evidence: Evidence, checked: Checked) -> None:
    """How long runs took to be known, while messages were poisoned and before."""
    poisoned = [(fault.t0, fault.t1) for fault in evidence.faults.of("poison")]
    others = [fault for fault in evidence.faults.all if "poison" not in fault.kind]
    calm: list[float] = []
    during: list[float] = []
    for stream in evidence.runs.values():
        requested, queued = stream.first("run.requested"), stream.first("run.queued")
        if requested is None or queued is None:
            continue
        t0, t1 = requested.at, queued.at
        if any(fault.t0 <= t1 and fault.t1 >= t0 for fault in others):
            continue
        (during if any(t0 <= end and t1 >= begin for begin, end in poisoned) else calm).append(t1 - t0)
    if min(len(calm), len(during)) < ENOUGH:
        return
    checked.saw("runs beside poison", len(during))
    before, beside = _p99(calm), _p99(during)
    if beside > max(FLOOR_S, SLOWER * before):
        checked.found(f"beside poison runs took {beside:.2f} s to be known, {before:.2f} s without")


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
