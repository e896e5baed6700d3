"""Errors whose answer carries more than a code."""

from fastapi import Request
from fastapi.responses import JSONResponse

from cynthus.gateway.domain.problems import BlobsAbsent, HistoryRefused
from cynthus.web.problems import problem

_AGAIN_S = "1"


async def blobs_absent(_: Request, error: Exception) -> JSONResponse:
    """Name the blobs that have to be sent first."""
    assert isinstance(error, BlobsAbsent)
    return problem(
        409,
        "blobs_missing",
        f"{len(error.digests)} blobs of this snapshot were not uploaded, among them {error.digests[0]}",
        hint="Upload them, then send the manifest again.",
        missing=error.digests,
    )


async def history_refused(_: Request, error: Exception) -> JSONResponse:
    """Pass on what run history said."""
    assert isinstance(error, HistoryRefused)
    return problem(error.status, error.code, error.detail, hint=error.hint)


async def history_unavailable(_: Request, error: Exception) -> JSONResponse:
    """A part of the platform is away for now."""
    return problem(
        503,
        "unavailable",
        str(error) or type(error).__name__,
        hint="Try again in a moment; `cynthus doctor` shows what is not running.",
        headers={"Retry-After": _AGAIN_S},
    )
