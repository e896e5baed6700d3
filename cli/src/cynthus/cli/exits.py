"""Exit codes, and which of them an answer or an ended run means."""

from collections.abc import Mapping
from typing import Any

OK = 0
UNEXPECTED = 1
USAGE = 2
SPEC_INVALID = 3
NOT_LOGGED_IN = 4
NOT_FOUND = 5
CONFLICT = 6
LIMITED = 7
UNREACHABLE = 8
PROGRAM_FAILED = 100
INFRASTRUCTURE_FAILED = 101
TIMED_OUT = 102
CANCELLED = 103
INTERRUPTED = 130
BROKEN_PIPE = 141

MEANINGS = (
    (OK, "ok; for `run`: the run succeeded"),
    (UNEXPECTED, "something unexpected inside cynthus; for `leaks`: a machine is left behind"),
    (USAGE, "wrong usage, or a question that was refused"),
    (SPEC_INVALID, "the project or cynthus.toml cannot be run as it is"),
    (NOT_LOGGED_IN, "not logged in, or the token has expired"),
    (NOT_FOUND, "no such run, project or file on the platform"),
    (CONFLICT, "not possible in the present state"),
    (LIMITED, "quota, budget or rate limit"),
    (UNREACHABLE, "the platform or the network cannot be reached"),
    (PROGRAM_FAILED, "your program failed (its own code: --propagate-exit, or in -o json)"),
    (INFRASTRUCTURE_FAILED, "the infrastructure failed, after all attempts"),
    (TIMED_OUT, "the run took longer than its timeout"),
    (CANCELLED, "the run was cancelled"),
    (INTERRUPTED, "interrupted with Ctrl-C; a run that was started goes on"),
)

_OF_STATUS = {
    400: USAGE,
    401: NOT_LOGGED_IN,
    402: LIMITED,
    403: NOT_LOGGED_IN,
    404: NOT_FOUND,
    409: CONFLICT,
    412: CONFLICT,
    413: USAGE,
    422: USAGE,
    429: LIMITED,
    502: UNREACHABLE,
    503: UNREACHABLE,
    504: UNREACHABLE,
}

_INFRASTRUCTURE = {
    "boot_failed",
    "lost_machine",
    "preempted",
    "no_capacity",
    "worker_failed",
    "upload_stalled",
    "machine_refused",
    "quota",
    "container_refused",
    "engine_restarted",
    "image_missing",
    "registry_unreachable",
    "storage_full",
    "worker_stopped",
    "build_abandoned",
    "internal_error",
    "build_error",
    "index_unreachable",
    "source_missing",
}
_BAD_SPEC = {"spec_invalid"}


def of_status(status: int, code: str = "") -> int:
    """The exit code for a refused request."""
    return SPEC_INVALID if code in _BAD_SPEC else _OF_STATUS.get(status, UNEXPECTED)


def of_run(run: Mapping[str, Any], *, propagate: bool = False) -> int:
    """The exit code for a run that is over; `propagate` gives the program's own (128 + N for a signal)."""
    if run["state"] == "SUCCEEDED":
        return OK
    if run["state"] == "CANCELLED":
        return CANCELLED
    cause = run.get("cause") or {}
    if cause.get("code") == "timeout":
        return TIMED_OUT
    if cause.get("code") in _INFRASTRUCTURE:
        return INFRASTRUCTURE_FAILED
    own = _own_code(cause)
    if own is None and not run.get("started_at"):
        return SPEC_INVALID
    return own if propagate and own is not None else PROGRAM_FAILED


def _own_code(cause: Mapping[str, Any]) -> int | None:
    if cause.get("exit_code") is not None:
        return int(cause["exit_code"])
    return 128 + int(cause["signal"]) if cause.get("signal") is not None else None
