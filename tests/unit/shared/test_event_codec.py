import builtins
import contextlib
import json
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args, get_origin

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from cynthus.events import EVENTS, Envelope, MachineReleased, RunFailed, RunQueued
from cynthus.events.codec import (
    EnvelopeInvalid,
    UnknownEvent,
    from_json,
    from_message,
    to_attributes,
    to_data,
    to_json,
)

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


def anything_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type: of models in models, with every field drawn."""
    arguments = [anything_of(argument) for argument in get_args(kind) if argument is not ...]
    match get_origin(kind) or kind:
        case type() as model if issubclass(model, BaseModel):
            fields = {name: anything_of(field.annotation) for name, field in model.model_fields.items()}
            return st.builds(model, **fields)
        case builtins.float:
            return FINITE
        case builtins.tuple:
            return st.lists(*arguments, max_size=3).map(tuple)
        case builtins.dict:
            return st.dictionaries(*arguments, max_size=3)
        case types.UnionType:
            return st.one_of(arguments)
        case _:
            return st.from_type(kind)


FACTS = st.one_of([anything_of(event) for event in EVENTS])
ENVELOPES = st.builds(
    Envelope,
    id=TEXT,
    source=TEXT,
    time=st.datetimes(
        min_value=datetime(1970, 1, 2, tzinfo=UTC).replace(tzinfo=None),
        max_value=datetime(9999, 12, 30, tzinfo=UTC).replace(tzinfo=None),
        timezones=st.sampled_from(
            [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]
        ),
    ),
    event=FACTS,
    stream=TEXT,
    sequence=st.integers(0, 2**63 - 1),
    actor=TEXT,
    correlation_id=st.none() | TEXT,
    causation_id=st.none() | TEXT,
    traceparent=st.none() | TEXT,
)
QUEUED = Envelope(
    id="evt_1",
    source="orchestrator",
    time=datetime(2026, 11, 23, 13, 40, 5, 123456, UTC),
    event=RunQueued(run_id="run_1"),
    stream="run-run_1",
    sequence=12,
    actor="service:orchestrator",
    correlation_id="run_1",
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


@given(ENVELOPES)
def test_structured_mode_round_trips(envelope: Envelope) -> None:
    assert from_json(to_json(envelope)) == envelope


@given(ENVELOPES)
def test_binary_mode_round_trips(envelope: Envelope) -> None:
    assert from_message(to_attributes(envelope), to_data(envelope)) == envelope


@given(ENVELOPES)
def test_another_implementation_reads_the_same(envelope: Envelope) -> None:
    event = JSONFormat().read(CloudEvent, to_json(envelope))
    assert (event.get_id(), event.get_source(), event.get_type()) == (
        envelope.id,
        envelope.source,
        envelope.type,
    )
    assert event.get_time() == envelope.time
    assert event.get_subject() == envelope.event.subject
    assert event.get_data() == envelope.data()
    assert event.get_datacontenttype() == "application/json"
    assert int(event.get_extension("sequence")) == envelope.sequence
    assert event.get_extension("correlationid") == envelope.correlation_id


def test_what_another_implementation_writes_is_read() -> None:
    attributes: dict[str, Any] = {
        name.removeprefix("ce-"): value for name, value in to_attributes(QUEUED).items() if "ce-" in name
    }
    attributes["time"] = QUEUED.time
    event = CloudEvent(attributes=attributes, data={"run_id": "run_1", "added_later": [1]})
    assert from_json(JSONFormat().write(event)) == QUEUED


def test_the_pubsub_attributes_are_these() -> None:
    assert to_attributes(QUEUED) == {
        "ce-specversion": "1.0",
        "ce-id": "evt_1",
        "ce-source": "orchestrator",
        "ce-type": "dev.cynthus.run.queued.v1",
        "ce-subject": "runs/run_1",
        "ce-time": "2026-11-23T13:40:05.123456Z",
        "ce-dataschema": "https://cynthus.dev/schemas/dev.cynthus.run.queued.v1.json",
        "ce-stream": "run-run_1",
        "ce-sequence": "0000000012",
        "ce-actor": "service:orchestrator",
        "ce-correlationid": "run_1",
        "ce-traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "googclient_traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "content-type": "application/json",
    }
    assert to_data(QUEUED) == b'{"run_id":"run_1"}'


def test_a_structured_document_in_a_message_is_read() -> None:
    attributes = {"content-type": "Application/CloudEvents+json; charset=utf-8", "ce-id": "other"}
    assert from_message(attributes, to_json(QUEUED)) == QUEUED


def test_the_trace_of_a_google_client_is_kept() -> None:
    attributes = to_attributes(QUEUED)
    del attributes["ce-traceparent"]
    assert from_message(attributes, to_data(QUEUED)) == QUEUED


def _changed(**changes: object) -> bytes:
    return json.dumps({**json.loads(to_json(QUEUED)), **changes}).encode()


def test_fields_of_a_later_version_are_tolerated() -> None:
    assert from_json(_changed(data={"run_id": "run_1", "new": {"a": 1}}, newextension="x")) == QUEUED


def test_a_release_of_a_version_that_did_not_say_whether_it_was_lost_is_read() -> None:
    attributes = to_attributes(QUEUED) | {"ce-type": "dev.cynthus.machine.released.v1"}
    before = b'{"run_id":"run_1","epoch":1,"machine":"m1"}'
    assert from_message(attributes, before).event == MachineReleased(run_id="run_1", epoch=1, machine="m1")


def test_a_time_in_any_zone_is_read() -> None:
    assert from_json(_changed(time="2026-11-23T14:40:05.123456+01:00")) == QUEUED


def test_a_type_of_a_later_version_is_unknown_not_invalid() -> None:
    with pytest.raises(UnknownEvent, match=r"dev\.cynthus\.run\.paused\.v1"):
        from_json(_changed(type="dev.cynthus.run.paused.v1"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": None}, "id is missing"),
        ({"source": 7}, "source"),
        ({"type": ["a"]}, "type"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-11-23T13:40:05"}, "zone"),
        ({"sequence": "-1"}, "sequence"),
        ({"sequence": "1" * 5000}, "sequence"),
        ({"sequence": "٣"}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"sequence": 2**63}, "sequence"),
        ({"sequence": 1.5}, "sequence"),
        ({"sequence": None}, "sequence"),
        ({"causationid": 1}, "causationid"),
        ({"data": None}, "data"),
        ({"data": {"run_id": None}}, "run_id"),
        ({"data": []}, "data"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(EnvelopeInvalid, match=said):
        from_json(_changed(**change))


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"1" * 9_999])
)
def test_arbitrary_bytes_never_crash_the_reader(document: bytes) -> None:
    with pytest.raises((EnvelopeInvalid, UnknownEvent)):
        from_json(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists, max_leaves=5
)


@given(st.dictionaries(st.sampled_from([*json.loads(to_json(QUEUED))]), JSON))
def test_a_document_with_any_values_is_read_or_refused(changes: dict[str, object]) -> None:
    _read_or_refused(lambda: from_json(_changed(**changes)))


@given(
    st.dictionaries(st.sampled_from([*to_attributes(QUEUED)]), st.text()),
    st.binary() | st.just(to_data(QUEUED)),
)
def test_a_message_with_any_attributes_is_read_or_refused(changes: dict[str, str], data: bytes) -> None:
    _read_or_refused(lambda: from_message({**to_attributes(QUEUED), **changes}, data))


def _read_or_refused(read: Callable[[], Envelope]) -> None:
    with contextlib.suppress(EnvelopeInvalid, UnknownEvent):
        assert isinstance(read(), Envelope)


def test_a_refusal_does_not_repeat_the_data() -> None:
    with pytest.raises(EnvelopeInvalid) as refused:
        from_json(_changed(type=RunFailed.ce_type(), data={"run_id": 1, "cause": "s3cr3t"}))
    assert "s3cr3t" not in str(refused.value)
