"""Writes what the event classes say as documents: `python -m cynthus.events.documents docs/`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from cynthus.events import EVENTS
from cynthus.events.codec import SPECVERSION, dataschema
from cynthus.events.event import Event

_SCHEMAS = "schema/events"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DEFINED = "#/components/schemas/{model}"

_ATTRIBUTES = {
    "specversion": f"always `{SPECVERSION}`",
    "id": "the event's own; a message that comes twice has it twice",
    "source": "the service whose store holds the fact",
    "type": "what happened",
    "subject": "what it happened to, such as `runs/run_01jd...`",
    "time": "when it was recorded, RFC 3339 in UTC",
    "dataschema": "the JSON Schema of the data",
    "stream": "the stream of the source that holds it, such as `run-run_01jd...`",
    "sequence": "its version in that stream: ten digits, so that text sorts as numbers do",
    "actor": "who did it: `user:...`, `worker:...`, `service:...`",
    "correlationid": "the run or project it belongs to",
    "causationid": "the id of the event that led to it",
    "traceparent": "W3C trace context",
}
_OPTIONAL = {"correlationid", "causationid", "traceparent"}

_INTRODUCTION = """\
# Events

Generated from `shared/src/cynthus/events` by `make docs`; do not edit. The same for machines:
[asyncapi.json](asyncapi.json), one JSON Schema per fact in [schema/events](schema/events).

Every fact travels as a [CloudEvents 1.0](https://cloudevents.io) event. On Google Pub/Sub that is
binary mode: the fact is the message's data, an attribute `x` is the message attribute `ce-x`, and
`googclient_traceparent` repeats the trace context; a message whose `content-type` starts with
`application/cloudevents` holds the whole event as JSON. Each fact has a topic of its own, each
subscriber a subscription `<subscriber>.<topic>` to it.

Delivery is at least once and in any order. Facts gain fields and are never renamed: a reader
ignores fields it does not know.
"""


class _Plain(GenerateJsonSchema):
    """Schemas without the titles that only repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False


def documents() -> dict[str, str]:
    """The text of every document by its path under the docs folder."""
    written = {f"{_SCHEMAS}/{event.ce_type()}.json": _json(json_schema(event)) for event in EVENTS}
    return {"events.md": _markdown(), "asyncapi.json": _json(asyncapi()), **written}


def json_schema(event: type[Event]) -> dict[str, Any]:
    """The JSON Schema of a fact's data."""
    schema = event.model_json_schema(schema_generator=_Plain)
    return {"$schema": _DIALECT, "$id": dataschema(event), **schema}


def asyncapi() -> dict[str, Any]:
    """Topics, messages and schemas as an AsyncAPI 3 document."""
    _, schemas = models_json_schema(
        [(event, "validation") for event in EVENTS], ref_template=_DEFINED, schema_generator=_Plain
    )
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Cynthus events",
            "version": "1",
            "description": "The facts that Cynthus services tell each other, as CloudEvents in binary mode.",
        },
        "defaultContentType": "application/json",
        "channels": {event.__name__: _channel(event) for event in EVENTS},
        "operations": {f"publish{event.__name__}": _operation(event) for event in EVENTS},
        "components": {
            "messages": {event.__name__: _message(event) for event in EVENTS},
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
            "schemas": dict(sorted(schemas["$defs"].items())),
        },
    }


def write(folder: Path) -> None:
    """Write all documents; remove the schemas of facts that are no more."""
    texts = documents()
    for stale in set(folder.glob(f"{_SCHEMAS}/*.json")) - {folder / path for path in texts}:
        stale.unlink()
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def _channel(event: type[Event]) -> dict[str, Any]:
    messages = {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"}}
    return {"address": event.topic(), "messages": messages}


def _operation(event: type[Event]) -> dict[str, Any]:
    channel = f"#/channels/{event.__name__}"
    messages = [{"$ref": f"{channel}/messages/{event.__name__}"}]
    return {"action": "send", "channel": {"$ref": channel}, "messages": messages}


def _message(event: type[Event]) -> dict[str, Any]:
    return {
        "name": event.ce_type(),
        "summary": _summary(event),
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": _DEFINED.format(model=event.__name__)},
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            f"ce-{name}": {"type": "string", "description": said} for name, said in _ATTRIBUTES.items()
        },
        "required": [f"ce-{name}" for name in _ATTRIBUTES if name not in _OPTIONAL],
    }


def _markdown() -> str:
    return "\n".join([_INTRODUCTION, *_attribute_lines(), *_overview_lines(), *_section_lines()])


def _attribute_lines() -> Iterator[str]:
    yield from ("| attribute | meaning |", "|---|---|")
    for name, said in _ATTRIBUTES.items():
        yield f"| `{name}`{' (optional)' if name in _OPTIONAL else ''} | {said} |"
    yield ""


def _overview_lines() -> Iterator[str]:
    yield from ("## The facts", "", "| fact | topic | by | what |", "|---|---|---|---|")
    for event in EVENTS:
        teller, _, said = _summary(event).partition(": ")
        yield f"| [{event.__name__}](#{event.__name__.lower()}) | `{event.topic()}` | {teller} | {said} |"
    yield ""


def _section_lines() -> Iterator[str]:
    for event in EVENTS:
        schema = json_schema(event)
        required = set(schema.get("required", ()))
        yield from (f"### {event.__name__}", "", f"`{event.ce_type()}`", "", "| field | type |", "|---|---|")
        for name, field in schema["properties"].items():
            yield f"| `{name}`{'' if name in required else ' (optional)'} | {_kind(field)} |"
        yield ""


def _kind(field: dict[str, Any]) -> str:
    """A field's type in a few words."""
    match field:
        case {"$ref": reference}:
            return str(reference).rpartition("/")[2]
        case {"anyOf": choices}:
            return " or ".join(map(_kind, choices))
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            return f"{_kind(values)} by name"
        case _:
            return str(field.get("type", "any"))


def _summary(event: type[Event]) -> str:
    return (event.__doc__ or "").strip().splitlines()[0].strip()


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
