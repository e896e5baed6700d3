"""Errors as `application/problem+json` (RFC 9457), with a code and a hint that says what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cynthus.events import new_id

MEDIA_TYPE = "application/problem+json"
_RETRY_SOON = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """How one class of error is told to a client."""

    status: int
    code: str
    hint: str | None = None


@dataclass
class Refused(Exception):
    """A request that the web layer itself turns down."""

    status: int
    code: str
    detail: str
    hint: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def install(app: FastAPI, answers: Mapping[type[Exception], Answer]) -> None:
    """Render every error of an application; `answers` maps the service's own errors."""
    for error_class, answer in answers.items():
        app.add_exception_handler(error_class, _mapped(answer))
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str | None = None,
    headers: dict[str, str] | None = None,
    **extra: Any,
) -> JSONResponse:
    """A problem document as a response."""
    body: dict[str, Any] = {
        "type": f"https://cynthus.dev/errors/{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": new_id("req"),
    }
    if hint is not None:
        body["hint"] = hint
    return JSONResponse({**body, **extra}, status, headers=headers, media_type=MEDIA_TYPE)


def _mapped(answer: Answer) -> Any:
    headers = _RETRY_SOON if answer.status == HTTPStatus.SERVICE_UNAVAILABLE else None

    def render(_: Request, error: Exception) -> JSONResponse:
        detail = str(error) or type(error).__name__
        return problem(answer.status, answer.code, detail, hint=answer.hint, headers=headers)

    return render


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return problem(
        error.status, error.code, error.detail, hint=error.hint, headers=error.headers, **error.extra
    )


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if _sent_as_something_else(request, error):
        hint = "Send `Content-Type: application/json`."
        return problem(415, "unsupported_media_type", "the body is not sent as JSON", hint=hint)
    errors = [
        {"pointer": "/" + "/".join(str(part) for part in item["loc"][1:]), "detail": item["msg"]}
        for item in error.errors()
    ]
    detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors[:3])
    return problem(422, "invalid_request", detail, hint="Correct the named fields.", errors=errors)


def _sent_as_something_else(request: Request, error: RequestValidationError) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        return False
    return any(item["loc"] == ("body",) and item["type"] != "missing" for item in error.errors())


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    headers = dict(error.headers or {})
    return problem(error.status_code, code, str(error.detail), headers=headers)


def _unexpected(_: Request, error: Exception) -> JSONResponse:
    detail = f"unexpected {type(error).__name__}"
    return problem(500, "internal_error", detail, hint="Try again; if it stays, look at the service's log.")
