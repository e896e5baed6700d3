"""How long it took until a dead attempt was known to be dead, and until the next one ran."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.chaos.evidence import read_rows
from tests.chaos.journal import Journal

_DEATHS = ("kill machine", "machine vanishes", "kill worker agent")
_LOST = ("dev.cynthus.attempt.lost.v1", "dev.cynthus.vm.lost.v1")
_STARTED = "dev.cynthus.attempt.started.v1"
_ENDED = ("dev.cynthus.attempt.exited.v1", "dev.cynthus.run.succeeded.v1", "dev.cynthus.run.failed.v1")


@dataclass(slots=True)
class Delays:
    """Seconds from a death, by what died."""

    detected: dict[str, list[float]] = field(default_factory=dict)
    running_again: dict[str, list[float]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"  {kind}: {name} {shown(values)}"
            for name, kinds in (("known after", self.detected), ("running again after", self.running_again))
            for kind, values in sorted(kinds.items())
        ]


def shown(values: Sequence[float]) -> str:
    """Median and the worst of a hundred."""
    ordered = sorted(values)
    worst = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{median(ordered):.1f} s (median), {worst:.1f} s (p99) of {len(ordered)}"


def delays(folder: Path) -> Delays:
    """From the faults and from what the orchestrator recorded."""
    found, history = Delays(), _history(folder)
    for row in Journal(folder).rows("faults"):
        if row["kind"] in _DEATHS:
            for run in (row.get("detail") or {}).get("runs", ()):
                _of_one(row, history.get(run, []), found)
    return found


def _of_one(row: dict[str, Any], events: list[dict[str, Any]], found: Delays) -> None:
    before = [one for one in events if one["at"] <= row["t0"]]
    if not before or before[-1]["type"] != _STARTED:
        return  # it was not running: there was nothing to detect
    after = [one for one in events if one["at"] > row["t0"]]
    lost = next((one for one in after if one["type"] in _LOST), None)
    if lost is None or any(one["type"] in _ENDED for one in after[: after.index(lost)]):
        return
    found.detected.setdefault(row["kind"], []).append(lost["at"] - row["t0"])
    again = next((one for one in after if one["type"] == _STARTED), None)
    if again is not None:
        found.running_again.setdefault(row["kind"], []).append(again["at"] - row["t0"])


def _history(folder: Path) -> dict[str, list[dict[str, Any]]]:
    streams: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(read_rows(folder, "orchestrator.events"), key=lambda row: row["version"]):
        at = datetime.fromisoformat(row["at"]).timestamp()
        run = row["stream"].removeprefix("run-")
        streams.setdefault(run, []).append({"type": row["type"], "at": at})
    return streams
