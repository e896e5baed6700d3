"""CloudEvents 1.0 both ways: structured JSON, and the attribute binding of Google Pub/Sub."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pydantic_core
from pydantic import ValidationError

from cynthus.events import BY_TYPE
from cynthus.events.envelope import Envelope
from cynthus.events.event import Event

SPECVERSION = "1.0"
STRUCTURED = "application/cloudevents+json"
SCHEMAS = "https://cynthus.dev/schemas/"
_SEQUENCE_DIGITS = 10
_MAX_SEQUENCE = 2**63 - 1


class UnknownEvent(Exception):
    """A well-formed CloudEvent of a type that this version does not know."""


class EnvelopeInvalid(Exception):
    """Not a CloudEvent, or not one of ours."""


def dataschema(event: type[Event]) -> str:
    """The identifier of the JSON Schema of a fact."""
    return f"{SCHEMAS}{event.ce_type()}.json"


def to_json(envelope: Envelope) -> bytes:
    """The envelope as one structured-mode JSON document."""
    head = pydantic_core.to_json({**_attributes(envelope), "datacontenttype": "application/json"})
    return head[:-1] + b',"data":' + _data(envelope) + b"}"


def from_json(document: bytes) -> Envelope:
    """Read a structured-mode document. Raises EnvelopeInvalid or UnknownEvent, never anything else."""
    values = _parsed(document)
    if not isinstance(values, dict):
        raise EnvelopeInvalid("a CloudEvent is a JSON object")
    event = _event_class(values)
    return _envelope(values, _validated(event, values.get("data")))


def to_attributes(envelope: Envelope) -> dict[str, str]:
    """The attributes of a Pub/Sub message in binary mode; `to_data` gives its data."""
    attributes = {f"ce-{name}": value for name, value in _attributes(envelope).items()}
    attributes["content-type"] = "application/json"
    if envelope.traceparent is not None:
        attributes["googclient_traceparent"] = envelope.traceparent
    return attributes


def to_data(envelope: Envelope) -> bytes:
    """The fact alone as JSON: the data of a Pub/Sub message in binary mode."""
    return _data(envelope)


def from_message(attributes: Mapping[str, str], data: bytes) -> Envelope:
    """Read a Pub/Sub message in either mode. Raises EnvelopeInvalid or UnknownEvent, never anything else."""
    if attributes.get("content-type", "").strip().lower().startswith("application/cloudevents"):
        return from_json(data)
    values = {name[3:]: value for name, value in attributes.items() if name.startswith("ce-")}
    if "googclient_traceparent" in attributes:
        values.setdefault("traceparent", attributes["googclient_traceparent"])
    event = _event_class(values)
    return _envelope(values, _validated(event, _parsed(data)))


def _attributes(envelope: Envelope) -> dict[str, str]:
    values = {
        "specversion": SPECVERSION,
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.type,
        "subject": envelope.event.subject,
        "time": envelope.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "dataschema": dataschema(type(envelope.event)),
        "stream": envelope.stream,
        "sequence": str(envelope.sequence).zfill(_SEQUENCE_DIGITS),
        "actor": envelope.actor,
        "correlationid": envelope.correlation_id,
        "causationid": envelope.causation_id,
        "traceparent": envelope.traceparent,
    }
    return {name: value for name, value in values.items() if value is not None}


def _data(envelope: Envelope) -> bytes:
    return envelope.event.model_dump_json().encode()


def _parsed(document: bytes) -> Any:
    try:
        return pydantic_core.from_json(document)
    except ValueError as error:
        raise EnvelopeInvalid(f"not JSON: {error}") from error


def _event_class(values: Mapping[str, Any]) -> type[Event]:
    if values.get("specversion") != SPECVERSION:
        raise EnvelopeInvalid(f"specversion is not {SPECVERSION}")
    name = _text(values, "type")
    event = BY_TYPE.get(name)
    if event is None:
        raise UnknownEvent(name)
    return event


def _validated(event: type[Event], data: Any) -> Event:
    try:
        return event.model_validate(data)
    except ValidationError as error:
        raise EnvelopeInvalid(f"data of {event.ce_type()}: {_complaints(error)}") from None


def _complaints(error: ValidationError) -> str:
    """What is wrong and where, without the values: they may be anybody's."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)


def _envelope(values: Mapping[str, Any], event: Event) -> Envelope:
    return Envelope(
        id=_text(values, "id"),
        source=_text(values, "source"),
        time=_time(_text(values, "time")),
        event=event,
        stream=_text(values, "stream"),
        sequence=_sequence(values.get("sequence")),
        actor=_text(values, "actor"),
        correlation_id=_optional_text(values, "correlationid"),
        causation_id=_optional_text(values, "causationid"),
        traceparent=_optional_text(values, "traceparent"),
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = _optional_text(values, name)
    if value is None:
        raise EnvelopeInvalid(f"{name} is missing")
    return value


def _optional_text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise EnvelopeInvalid(f"{name} is not a non-empty string")
    return value


def _sequence(value: object) -> int:
    digits = (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= len(str(_MAX_SEQUENCE))
    )
    number = int(cast("str", value)) if digits else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _MAX_SEQUENCE:
        raise EnvelopeInvalid("sequence is not a whole number")
    return number


def _time(value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise EnvelopeInvalid(f"time: {error}") from error
    if moment.tzinfo is None:
        raise EnvelopeInvalid("time has no zone")
    return moment
