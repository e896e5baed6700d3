"""Whether the cause that users are told is what their program really did."""

from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos.journal import Journal

_OWN = {"fail": {"user_exit"}, "die": {"signal"}, "hoard": {"oom"}, "stubborn": {"timeout"}}
"""What a program of a kind may fail of by its own doing; others do not fail by themselves."""
_INJECTED = {
    "disk of machines full": {"disk_full", "engine_failed", "upload_failed"},
    "kill user program": {"signal"},
    "provider refuses for good": {"machine_refused"},
}


def misnamed(folder: Path) -> list[str]:
    """Runs that failed for a cause that neither their program nor a fault of that kind explains."""
    journal = Journal(folder)
    injected: set[str] = set()
    for row in journal.rows("faults"):
        injected |= _INJECTED.get(row["kind"], set())
    wrong = []
    for run in last_answers(journal).values():
        cause = (run.get("cause") or {}).get("code")
        kind = run["labels"]["do"]
        if run["state"] == "FAILED" and cause not in _OWN.get(kind, set()) | injected:
            wrong.append(f"{run['id']}: {kind} failed as {cause}: {(run.get('cause') or {}).get('message')}")
        if run["state"] == "SUCCEEDED" and kind in {"fail", "die", "hoard"}:
            wrong.append(f"{run['id']}: {kind} is said to have succeeded")
    return wrong


def last_answers(journal: Journal) -> dict[str, dict[str, Any]]:
    """Each run as it was seen last."""
    rows = (row for row in journal.rows("client") if row["op"] == "get" and row["status"] == 200)
    return {row["run"]: row["answer"] for row in rows}


def outcomes(folder: Path) -> Counter[str]:
    """How many runs ended how."""
    return Counter(run["state"] for run in last_answers(Journal(folder)).values())
