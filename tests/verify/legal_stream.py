"""I2: versions are 1 to n without a gap, and each path is one that the transition table allows."""

from tests.verify.evidence import Evidence
from tests.verify.facts import Fact
from tests.verify.findings import Checked
from tests.verify.transition_table import Path

GATEWAY = {"run.requested": True, "run.cancel-requested": True, "run.queued": False}
"""What its streams of runs hold, and whether the gateway decides it."""


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    for schema in evidence.schemas():
        by_stream: dict[str, list[Fact]] = {}
        for fact in evidence.facts(schema):
            by_stream.setdefault(fact.stream, []).append(fact)
        for facts in by_stream.values():
            _contiguous(facts, checked)
        checked.saw(f"streams of {schema}", len(by_stream))
    for stream in evidence.runs.values():
        checked.looked_at += 1
        path = Path()
        for fact in stream:
            refusal = path.step(fact)
            if refusal is not None:
                what = f"{stream.run}: {fact.kind} at version {fact.version}: {refusal}"
                checked.found(what, fact.where)
    for stream in evidence.streams("gateway").values():
        _gateway(stream.facts, checked)
    return checked


def _contiguous(facts: list[Fact], checked: Checked) -> None:
    facts.sort(key=lambda fact: fact.version)
    checked.saw("facts", len(facts))
    for expected, fact in enumerate(facts, start=1):
        if fact.version != expected:
            what = f"{fact.stream}: version {fact.version} where {expected} should be"
            checked.found(what, fact.where)
            return


def _gateway(facts: list[Fact], checked: Checked) -> None:
    seen: set[str] = set()
    for fact in facts:
        if fact.kind not in GATEWAY or fact.decided is not GATEWAY[fact.kind]:
            checked.found(f"{fact.stream}: {fact.kind} is not the gateway's", fact.where)
        if fact.kind in seen:
            checked.found(f"{fact.stream}: {fact.kind} is there twice", fact.where)
        if fact.kind != "run.requested" and "run.requested" not in seen:
            checked.found(f"{fact.stream}: {fact.kind} before the run was asked for", fact.where)
        seen.add(fact.kind)
