"""How an event becomes a fact in a store: the same for every adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cynthus.events import Envelope, Event, new_id
from cynthus.events.ids import new_ids
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

    def recorded_as(self, stream: str, version: int, now: datetime) -> Envelope:
        """The envelope once the store has given it a version and a time."""
        return Envelope(
            self.id,
            self.source,
            self.at or now,
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
    ids = [new_id("evt")] if len(events) == 1 else new_ids("evt", len(events))
    causation_id = cause.id if cause else None
    traceparent = why.traceparent or (cause.traceparent if cause else None)
    drafts = []
    untaken = cause
    for event_id, event in zip(ids, events, strict=True):
        if untaken is not None and event == untaken.event:
            drafts.append(_taken_over(untaken))
            untaken = None
            continue
        stored, data = _storable(event)
        correlation_id = event.subject.rpartition("/")[2]
        drafts.append(
            Draft(
                event_id,
                source,
                stored,
                data,
                why.actor,
                correlation_id,
                causation_id,
                traceparent,
                None,
                True,  # noqa: FBT003 - positional, for speed
            )
        )
    return drafts


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
