"""An error for people: what happened, why, what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from cynthus.cli import exits
from cynthus.cli.terminal import Terminal


@dataclass(kw_only=True)
class Failure(Exception):
    """Ends the command with `exit_code`. `body` is the platform's problem document, when it sent one."""

    code: str
    what: str
    why: str | None = None
    fix: str | None = None
    more: str | None = None
    exit_code: int = exits.UNEXPECTED
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.what


def render(failure: Failure, terminal: Terminal) -> str:
    """error[code]: what, and a line each for why, fix and more."""
    lines = [f"{terminal.red(f'error[{failure.code}]:')} {failure.what}"]
    for label, text in (("why", failure.why), ("fix", failure.fix), ("more", failure.more)):
        if text:
            lines.append(f"  {terminal.dim(f'{label:5}')} {text.replace(chr(10), chr(10) + ' ' * 8)}")
    return "\n".join(lines) + "\n"


def problem(failure: Failure) -> Mapping[str, Any]:
    """The same as a problem document (RFC 9457): the platform's own when there is one."""
    if failure.body is not None:
        return failure.body
    status = _STATUS.get(failure.exit_code, HTTPStatus.INTERNAL_SERVER_ERROR)
    body = {
        "type": f"https://cynthus.dev/errors/{failure.code}",
        "title": status.phrase,
        "status": int(status),
        "code": failure.code,
        "detail": failure.what if failure.why is None else f"{failure.what}: {failure.why}",
    }
    return body if failure.fix is None else {**body, "hint": failure.fix}


_STATUS = {
    exits.USAGE: HTTPStatus.BAD_REQUEST,
    exits.SPEC_INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    exits.NOT_LOGGED_IN: HTTPStatus.UNAUTHORIZED,
    exits.NOT_FOUND: HTTPStatus.NOT_FOUND,
    exits.CONFLICT: HTTPStatus.CONFLICT,
    exits.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    exits.UNREACHABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
