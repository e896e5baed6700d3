"""I8: each decided fact reaches the bus, nothing else does, and each has its effect once."""

import json

from tests.verify.evidence import Evidence
from tests.verify.facts import Fact
from tests.verify.findings import Checked
from tests.verify.lines import Line

SIGNALS = frozenset({"dev.cynthus.attempt.heartbeat.v1"})
"""Published and never stored."""
LOSSES = ("drop", "lose", "loss", "restart", "kill", "reset")
BUS = ("bus", "pubsub", "emulator", "broker")
SETTLED_S = 10.0
"""A fact of the last moments may not have been published yet."""
ANSWERS_ONCE = ("orchestrator", "provisioner", "datasets", "gateway")
"""Here one message leads to one append; the builder tells of one order several times."""


def check(evidence: Evidence) -> Checked:
    checked = Checked()
    decided: dict[str, Fact] = {}
    for schema in evidence.schemas():
        for fact in evidence.facts(schema):
            if fact.decided:
                checked.looked_at += 1
                if fact.id in decided:
                    checked.found(f"event {fact.id} was decided twice", decided[fact.id].where, fact.where)
                decided[fact.id] = fact
    _published(evidence, decided, checked)
    for line in evidence.lines("bus"):
        checked.saw("messages on the bus")
        _known(line, decided, checked)
    for schema in evidence.schemas():
        _copies(evidence, schema, decided, checked)
        _effects(evidence, schema, checked)
        _inbox(evidence, schema, checked)
    return checked


def _published(evidence: Evidence, decided: dict[str, Fact], checked: Checked) -> None:
    """A tap in front of the broker, which notes each message's fate, misses none; one behind it may."""
    in_front = any(line.get("fate") for line in evidence.lines("bus"))
    spans = [
        (fault.t0, fault.t1)
        for fault in evidence.faults.of(*LOSSES)
        if not in_front and any(word in fault.text.lower() for word in BUS)
    ]
    for fact in decided.values():
        if fact.id in evidence.seen_on_bus:
            continue
        if any(t0 - SETTLED_S <= fact.at <= t1 + SETTLED_S for t0, t1 in spans):
            checked.saw("facts lost while the bus lost messages")
        elif fact.at < evidence.ended_at - SETTLED_S:
            checked.found(f"{fact.kind} {fact.id} of {fact.stream} was never published", fact.where)


def _known(line: Line, decided: dict[str, Fact], checked: Checked) -> None:
    if line["type"] in SIGNALS:
        return
    fact = decided.get(str(line["id"]))
    if fact is None:
        if "poison" not in str(line["id"]):
            checked.found(f"{line['type']} {line['id']} was published and never committed", line.where)
        return
    same = line["type"] == fact.type and str(line["source"]) == fact.source
    if not same or int(line["sequence"]) != fact.version or canonical(line["data"]) != canonical(fact.data):
        checked.found(f"{fact.kind} {fact.id} was published otherwise than committed", line.where, fact.where)


def _copies(evidence: Evidence, schema: str, decided: dict[str, Fact], checked: Checked) -> None:
    seen: dict[str, Fact] = {}
    for fact in evidence.facts(schema):
        if fact.decided:
            continue
        checked.saw("copies")
        if fact.id in seen:
            checked.found(f"{schema} took {fact.kind} {fact.id} twice", seen[fact.id].where, fact.where)
        seen[fact.id] = fact
        original = decided.get(fact.id)
        if original is None:
            checked.found(f"{schema} took {fact.kind} {fact.id}, which nobody decided", fact.where)
        elif original.type != fact.type or canonical(original.data) != canonical(fact.data):
            checked.found(f"{schema} took {fact.kind} {fact.id} in other words", fact.where, original.where)


def _effects(evidence: Evidence, schema: str, checked: Checked) -> None:
    """One message decides the same thing once."""
    if schema not in ANSWERS_ONCE:
        return
    seen: dict[tuple[str, str, str, str], Fact] = {}
    for fact in evidence.facts(schema):
        if not fact.decided or fact.causation is None:
            continue
        checked.saw("effects")
        key = (fact.causation, fact.stream, fact.type, canonical(fact.data))
        if key in seen:
            what = f"{schema} decided {fact.kind} twice for message {fact.causation}"
            checked.found(what, seen[key].where, fact.where)
        seen[key] = fact


def _inbox(evidence: Evidence, schema: str, checked: Checked) -> None:
    seen: dict[tuple[str, str], str] = {}
    for row in evidence.rows(f"{schema}.inbox"):
        checked.saw("inbox rows")
        key = (str(row["consumer"]), str(row["event_id"]))
        if key in seen:
            checked.found(f"{schema}: message {key[1]} is twice in the inbox", seen[key], row.where)
        seen[key] = row.where


def canonical(value: object) -> str:
    """Equal values have equal texts; a field that is absent equals one that is null."""
    return json.dumps(_bare(value), sort_keys=True, separators=(",", ":"))


def _bare(value: object) -> object:
    if isinstance(value, dict):
        return {name: _bare(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_bare(part) for part in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
