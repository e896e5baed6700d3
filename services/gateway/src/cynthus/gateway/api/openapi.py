"""The OpenAPI document: as FastAPI makes it, with our errors and our security."""

from typing import Any

from fastapi import FastAPI

from cynthus.gateway.api.resources import Problem
from cynthus.web.problems import MEDIA_TYPE

_METHODS = {"get", "put", "post", "delete", "head", "patch"}
_ERRORS = {
    "401": "no valid token",
    "404": "not there, or not the caller's",
    "409": "not in this state",
    "413": "the body is too large",
    "415": "the body is not sent as what it is",
    "422": "the request is not valid",
    "503": "a part of the platform is away; try again",
}


def install(app: FastAPI) -> None:
    """Let the application publish the document at its openapi_url."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema()
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path in document["paths"].values():
        for operation in (path[method] for method in _METHODS & path.keys()):
            for status, description in _ERRORS.items():
                operation["responses"][status] = {"description": description, "content": problem}
    return document
