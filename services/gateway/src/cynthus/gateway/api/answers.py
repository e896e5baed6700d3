"""JSON answers without a second validation."""

from typing import Any

import orjson
from fastapi.responses import Response

from cynthus.gateway.ports import Document


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response from JSON values."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def passed_on(document: Document) -> Response:
    """A response of what another service sent."""
    return Response(document.body, media_type="application/json")
