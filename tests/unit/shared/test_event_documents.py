import json
from pathlib import Path
from typing import Any

import pytest

from cynthus.events import EVENTS
from cynthus.events.codec import dataschema
from cynthus.events.documents import asyncapi, documents, json_schema, write

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("path", documents())
def test_the_documents_are_what_the_classes_say(path: str) -> None:
    assert (DOCS / path).read_text("utf-8") == documents()[path], "run `make docs`"


def test_there_are_no_schemas_of_facts_that_are_no_more() -> None:
    found = {str(path.relative_to(DOCS)) for path in DOCS.glob("schema/events/*")}
    assert found == {path for path in documents() if path.startswith("schema/events/")}


def test_writing_removes_what_is_no_more(tmp_path: Path) -> None:
    write(tmp_path)
    stale = tmp_path / "schema/events/dev.cynthus.old.v1.json"
    stale.write_text("{}")
    write(tmp_path)
    assert not stale.exists()
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(
        documents()
    )


def test_every_fact_says_who_tells_it() -> None:
    services = {"Gateway", "Builder", "Datasets", "Orchestrator", "Provisioner", "Worker"}
    assert {(event.__doc__ or "").partition(":")[0] for event in EVENTS} <= services


def test_a_schema_is_found_under_the_name_that_events_carry() -> None:
    assert [json_schema(event)["$id"] for event in EVENTS] == [dataschema(event) for event in EVENTS]


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()
    for reference in _references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place
    assert {channel["address"] for channel in document["channels"].values()} == {e.topic() for e in EVENTS}


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return []


def test_the_documents_are_json_where_they_say_so() -> None:
    for path, text in documents().items():
        if path.endswith(".json"):
            json.loads(text)
