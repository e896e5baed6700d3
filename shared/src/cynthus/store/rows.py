"""Facts as rows of the events table."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from cynthus.events import BY_TYPE, Envelope
from cynthus.store.ports import Recorded
from cynthus.store.recording import Draft

FACT_COLUMNS = (
    "transaction_id, position, stream, version, id, type, source, actor, "
    "correlation_id, causation_id, traceparent, at, decided, data::text AS data"
)


class UnknownFact(Exception):
    """The history holds a type of fact that this version of the code does not know."""


def columns(drafts: Sequence[Draft]) -> tuple[list[Any], ...]:
    """One array per column, in the order of the append statement."""
    return (
        [fact.id for fact in drafts],
        [fact.event.ce_type() for fact in drafts],
        [fact.source for fact in drafts],
        [fact.actor for fact in drafts],
        [fact.correlation_id for fact in drafts],
        [fact.causation_id for fact in drafts],
        [fact.traceparent for fact in drafts],
        [fact.at for fact in drafts],
        [fact.decided for fact in drafts],
        [fact.data for fact in drafts],
    )


def recorded_from(row: "asyncpg.Record") -> Recorded:
    """A row of the events table as a fact. Raises UnknownFact."""
    cls = BY_TYPE.get(row["type"])
    if cls is None:
        raise UnknownFact(f"{row['type']} at {row['position']}: written by a newer version; upgrade this one")
    envelope = Envelope(
        id=row["id"],
        source=row["source"],
        time=row["at"],
        event=cls.model_validate_json(row["data"]),
        stream=row["stream"],
        sequence=row["version"],
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
    )
    return Recorded((row["transaction_id"], row["position"]), envelope, row["decided"])
