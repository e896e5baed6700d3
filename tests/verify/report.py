"""Runs every check and says what was found: a line for each invariant, then each violation."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.verify import (
    bounded_retry,
    client_history,
    commands,
    deadlines,
    false_kills,
    fencing,
    legal_stream,
    logs,
    one_terminal,
    orphans,
    outbox,
    poison,
    rebuilt,
    session_reads,
    twins,
    uploads,
    visible_result,
)
from tests.verify.evidence import Evidence
from tests.verify.findings import Checked

SHOWN = 20
"""Violations of one invariant that are printed; all are counted."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule, what its count is of, and how many of these a history must have to prove anything."""

    name: str
    title: str
    counted: str
    least: int
    check: Callable[[Evidence], Checked]


INVARIANTS = (
    Invariant("I1", "one terminal state", "accepted runs", 20, one_terminal.check),
    Invariant("I2", "legal streams", "streams of runs", 20, legal_stream.check),
    Invariant("I3", "one visible result", "successes", 10, visible_result.check),
    Invariant("I4", "fencing", "writes of workers", 100, fencing.check),
    Invariant("I5", "no orphan", "machines", 5, orphans.check),
    Invariant("I6", "no twin", "runs", 20, twins.check),
    Invariant("I7", "uploads kept", "uploads", 5, uploads.check),
    Invariant("I8", "outbox and inbox", "decided facts", 200, outbox.check),
    Invariant("I9", "rebuilt equals live", "rows", 40, rebuilt.check),
    Invariant("I10", "idempotency and cancel", "keys and cancellations", 20, commands.check),
    Invariant("I11", "bounded retry", "runs", 20, bounded_retry.check),
    Invariant("I12", "no false kill", "attempts started", 20, false_kills.check),
    Invariant("I13", "logs are whole", "hashes of logs", 10, logs.check),
    Invariant("I14", "poison is isolated", "messages handled", 20, poison.check),
    Invariant("I18", "session reads", "versions shown", 50, session_reads.check),
    Invariant("I19", "deadlines", "states left", 60, deadlines.check),
    Invariant("I20", "linearizable", "histories", 20, client_history.check),
)
NAMES = tuple(invariant.name for invariant in INVARIANTS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one invariant; `least` is how much had to be looked at."""

    invariant: Invariant
    least: int
    checked: Checked

    @property
    def short(self) -> bool:
        return self.checked.looked_at < self.least

    @property
    def holds(self) -> bool:
        return not self.short and not self.checked.findings

    @property
    def verdict(self) -> str:
        if self.checked.findings:
            return "VIOLATED"
        return f"TOO LITTLE, {self.least} are needed" if self.short else "holds"


def verify(evidence: Evidence, least: Mapping[str, int]) -> list[Outcome]:
    """Every invariant; `least` overrides how much must be looked at, by name."""
    return [
        Outcome(invariant, max(1, least.get(invariant.name, invariant.least)), invariant.check(evidence))
        for invariant in INVARIANTS
    ]


def text(evidence: Evidence, outcomes: list[Outcome]) -> str:
    """For people."""
    lines = [f"evidence: {evidence.number('seed'):.0f} is the seed, {len(evidence.faults.all)} faults"]
    for outcome in outcomes:
        checked, invariant = outcome.checked, outcome.invariant
        lines.append(
            f"{invariant.name:<4}{invariant.title:<24}{checked.looked_at:>9} {invariant.counted:<24}"
            f"{len(checked.findings):>4} violations  {outcome.verdict}"
        )
        if checked.counts:
            seen = ", ".join(f"{number} {name}" for name, number in sorted(checked.counts.items()))
            lines.append(f"      beside these: {seen}")
        lines += [f"      longest: {name} {most:.1f} s" for name, most in sorted(checked.longest.items())]
        for finding in checked.findings[:SHOWN]:
            lines.append(f"      ! {finding.what}")
            lines += [f"          {where}" for where in finding.lines]
        if len(checked.findings) > SHOWN:
            lines.append(f"      ! and {len(checked.findings) - SHOWN} more")
    good = all(outcome.holds for outcome in outcomes)
    lines.append("verdict: everything holds" if good else "verdict: NOT PROVED")
    return "\n".join(lines)


def as_json(evidence: Evidence, outcomes: list[Outcome]) -> str:
    """For programs."""
    document = {
        "holds": all(outcome.holds for outcome in outcomes),
        "seed": evidence.settings.get("seed"),
        "faults": len(evidence.faults.all),
        "invariants": [
            {
                "name": outcome.invariant.name,
                "title": outcome.invariant.title,
                "looked_at": outcome.checked.looked_at,
                "of": outcome.invariant.counted,
                "needed": outcome.least,
                "counts": dict(outcome.checked.counts),
                "longest_s": outcome.checked.longest,
                "verdict": outcome.verdict,
                "violations": [
                    {"what": finding.what, "lines": list(finding.lines)}
                    for finding in outcome.checked.findings
                ],
            }
            for outcome in outcomes
        ],
    }
    return json.dumps(document, indent=2)
