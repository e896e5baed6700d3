"""The JSON Schema of cynthus.toml, for editors."""

import json
from typing import Any

IDENTIFIER = "urn:cynthus:schema:v1:cynthus.toml"


def schema() -> dict[str, Any]:
    """Draft-07, made from the models."""
    from cynthus.spec.models import Spec

    made = Spec.model_json_schema(ref_template="#/definitions/{model}")
    definitions = made.pop("$defs", {})
    made["title"] = "cynthus.toml"
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": IDENTIFIER}
    return {**head, **made, "definitions": definitions}


def schema_text() -> str:
    """The schema as it is committed and printed."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
