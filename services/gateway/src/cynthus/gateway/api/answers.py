"""JSON answers without a second validation."""

from typing import Any

import orjson
from fastapi.responses import Response


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response from JSON values."""
    return Response(orjson.dumps(content), status, headers, "application/json")
