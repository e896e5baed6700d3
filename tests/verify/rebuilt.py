"""I9: projections made anew from history equal the live ones, row for row."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.verify.evidence import Evidence
from tests.verify.findings import Checked
from tests.verify.lines import Line, document

NEEDED = ("orchestrator.runs", "orchestrator.attempts", "gateway.submissions")
NOT_FROM_HISTORY: dict[str, frozenset[str]] = {
    "orchestrator.leases": frozenset({"expires_at", "cpu_seconds", "memory_bytes"}),
    "provisioner.machines": frozenset({"since", "intended_at"}),
}
"""Columns that observations fill, not facts; beside these, those that note when a row was written."""
WRITTEN_AT = frozenset({"updated_at", "refreshed_at"})


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    tables = evidence.rebuilt()
    for table in NEEDED:
        if table not in tables:
            checked.found(f"{table} was not rebuilt", f"rebuilt/{table}.jsonl")
    for table in tables:
        live, again = _rows(evidence.rows(table), table), _rows(evidence.rebuilt_rows(table), table)
        checked.looked_at += sum(live.values())
        checked.saw(table, sum(live.values()))
        for row in live - again:
            checked.found(f"{table}: only the live table has {_short(row)}", f"sql/{table}.jsonl")
        for row in again - live:
            checked.found(f"{table}: only the rebuilt table has {_short(row)}", f"rebuilt/{table}.jsonl")
    return checked


def _rows(lines: Iterator[Line], table: str) -> Counter[str]:
    ignored = NOT_FROM_HISTORY.get(table, frozenset()) | WRITTEN_AT
    return Counter(
        json.dumps(
            {name: _value(value) for name, value in line.fields.items() if name not in ignored},
            sort_keys=True,
            separators=(",", ":"),
        )
        for line in lines
    )


def _value(value: object) -> object:
    """A JSON column is the same however it was dumped."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return document(value)
        except ValueError:
            return value
    return value


def _short(row: str) -> str:
    return row if len(row) <= 300 else f"{row[:300]}..."
