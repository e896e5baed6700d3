"""That nothing was lost or doubled between histories, bus and tables."""

from collections import Counter

from cynthus.events import (
    Envelope,
)
from cynthus.provisioner.adapters.memory_requests import MemoryRequests
from tests.simulation.platform import Platform


def judge_outbox(platform: Platform) -> None:
    """Every decided fact was published, and nothing else."""
    decided: dict[str, Envelope] = {}
    for history in platform.histories.values():
        for fact in history.store.facts:
            if fact.decided:
                decided[fact.envelope.id] = fact.envelope
    missing = decided.keys() - platform.broker.published.keys()
    for fact_id in sorted(missing)[:3]:
        platform.world.wrong("every fact is published", f"{decided[fact_id].source} {decided[fact_id].type}")
    for fact_id, envelope in platform.broker.published.items():
        if fact_id not in decided and envelope.event.kind != "attempt.heartbeat":
            platform.world.wrong("only facts are published", f"{envelope.type} {fact_id}")


def unheard(platform: Platform) -> list[str]:
    """Facts that a service follows and has neither handled nor put aside."""
    found: list[str] = []
    for name, peers in platform.hears.items():
        inbox = platform.histories[name].store.inbox
        for peer, wanted in peers.items():
            found += [
                f"{name}: {fact.envelope.type} {fact.envelope.id}"
                for fact in platform.histories[peer].store.facts
                if fact.decided
                and isinstance(fact.envelope.event, tuple(wanted))
                and not inbox.is_handled(name, fact.envelope.id)
                and (name, fact.envelope.id) not in platform.handled
                and (name, fact.envelope.id) not in inbox._parked
            ]
    return found


def judge_heard(platform: Platform) -> None:
    """What one service decided reaches everyone who follows it, whatever the bus lost."""
    for what in unheard(platform)[:3]:
        platform.world.wrong("every fact is heard", what)


def judge_inputs(platform: Platform) -> None:
    """What a service took over it took over once, and what it did because of a message it did at once."""
    for name in ("orchestrator", "provisioner"):
        done: dict[str, int] = {}
        for fact in platform.histories[name].store.facts:
            cause, transaction = fact.envelope.causation_id, fact.position[0]
            if fact.decided and cause is not None and done.setdefault(cause, transaction) != transaction:
                platform.world.wrong("handled once", f"{name} acted twice on {cause}")
    for name, history in platform.histories.items():
        ids = Counter(fact.envelope.id for fact in history.store.facts)
        for fact_id, count in ids.items():
            if count > 1:
                platform.world.wrong("handled once", f"{name} {fact_id} {count} times")


def judge_rebuild(platform: Platform) -> None:
    """A projection is a function of its history."""
    before = _projected(platform)
    for name, projection in (
        ("orchestrator", platform.tables),
        ("builder", platform.builds),
        ("gateway", platform.submissions),
    ):
        platform.histories[name].store.rebuild([projection])
    requests = MemoryRequests()
    for fact in platform.histories["provisioner"].store.facts:
        requests.follow(fact.envelope.event)
    if requests._requests != platform.ledger.requests._requests:
        platform.world.wrong("rebuild is the same", "requests")
    for name, content in _projected(platform).items():
        if before[name] != content:
            platform.world.wrong("rebuild is the same", name)


def _projected(platform: Platform) -> dict[str, object]:
    return {
        "runs": {run_id: run.model_dump_json() for run_id, run in platform.tables.runs.items()},
        "builds": {run_id: build.key for run_id, build in platform.builds.builds.items()},
        "submissions": repr(sorted(platform.submissions._runs.items())),
    }
