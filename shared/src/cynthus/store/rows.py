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


def scalars(drafts: Sequence[Draft]) -> list[Any]:
    """The columns of one fact after the other, in the order of the append statement."""
    return [value for fact in drafts for value in _values(fact)]


def arrays(drafts: Sequence[Draft]) -> list[tuple[Any, ...]]:
    """One array per column, in the same order."""
    return list(zip(*map(_values, drafts), strict=True))


def _values(fact: Draft) -> tuple[Any, ...]:
    return (
        fact.id,
        fact.event.ce_type(),
        fact.source,
        fact.actor,
        fact.correlation_id,
        fact.causation_id,
        fact.traceparent,
        fact.at,
        fact.decided,
        fact.data,
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
