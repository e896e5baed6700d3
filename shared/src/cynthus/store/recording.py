"""How an event becomes a fact in a store: the same for every adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cynthus.events import Envelope, Event, new_id
from cynthus.store.ports import Why
from cynthus.store.storable import storable_json


@dataclass(slots=True)
class Draft:
    """A fact about to be appended, `data` its JSON; `at` None means that the store's clock decides."""

    id: str
    source: str
    event: Event
    data: str
    actor: str
    correlation_id: str | None
    causation_id: str | None
    traceparent: str | None
    at: datetime | None
    decided: bool

    def recorded_as(self, stream: str, version: int, at: datetime) -> Envelope:
        """The envelope once the store has given it a version and a time."""
        return Envelope(
            self.id,
            self.source,
            at,
            self.event,
            stream,
            version,
            self.actor,
            self.correlation_id,
            self.causation_id,
            self.traceparent,
        )


def draft(events: Sequence[Event], why: Why, source: str) -> list[Draft]:
    """Give each event its identity; the one that is the cause itself keeps the cause's."""
    cause = why.cause
    taken = next((index for index, event in enumerate(events) if cause and event == cause.event), None)
    return [
        _taken_over(cause) if cause is not None and index == taken else _decided(event, why, source)
        for index, event in enumerate(events)
    ]


def _decided(event: Event, why: Why, source: str) -> Draft:
    cause = why.cause
    stored, data = _storable(event)
    return Draft(
        id=new_id("evt"),
        source=source,
        event=stored,
        data=data,
        actor=why.actor,
        correlation_id=event.subject.rpartition("/")[2],
        causation_id=cause.id if cause else None,
        traceparent=why.traceparent or (cause.traceparent if cause else None),
        at=None,
        decided=True,
    )


def _taken_over(cause: Envelope) -> Draft:
    stored, data = _storable(cause.event)
    return Draft(
        id=cause.id,
        source=cause.source,
        event=stored,
        data=data,
        actor=cause.actor,
        correlation_id=cause.correlation_id,
        causation_id=cause.causation_id,
        traceparent=cause.traceparent,
        at=cause.time,
        decided=False,
    )


def _storable(event: Event) -> tuple[Event, str]:
    data = event.model_dump_json()
    storable = storable_json(data)
    return (event if storable is data else type(event).model_validate_json(storable)), storable
