"""Health routes: is the process alive, has it started, can it do its work, which version is it."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from cynthus.runtime.lifecycle import Lifecycle

_FRESH_S = 2.0
_TIMEOUT_S = 5.0

Check = Callable[[], Awaitable[bool]]


def router(name: str, checks: Mapping[str, Check], lifecycle: Lifecycle) -> APIRouter:
    """The routes every service has; they need no token."""
    routes = APIRouter(include_in_schema=False)
    readiness = _Readiness(checks)

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/health/startup")
    async def startup() -> JSONResponse:
        return _answer({} if lifecycle.started else {"started": "not yet"})

    @routes.get("/health/ready")
    async def ready() -> JSONResponse:
        if lifecycle.stopping.is_set():
            return _answer({"stopping": "the process was told to end"})
        return _answer(await readiness.failures())

    @routes.get("/version")
    async def show_version() -> dict[str, str]:
        return {"service": name, "version": installed_version(name)}

    return routes


def installed_version(name: str) -> str:
    """The version of a service's distribution; the embedded platform's is `cynthus` itself."""
    for distribution in (f"cynthus-{name}", "cynthus"):
        with suppress(PackageNotFoundError):
            return version(distribution)
    return "0"


class _Readiness:
    """Runs the checks at most once in two seconds, however often it is asked."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._failures: dict[str, str] = {}
        self._checked_at = -math.inf
        self._lock = asyncio.Lock()

    async def failures(self) -> dict[str, str]:
        async with self._lock:
            loop = asyncio.get_running_loop()
            if loop.time() - self._checked_at >= _FRESH_S:
                outcomes = await asyncio.gather(*(_run(check) for check in self._checks.values()))
                pairs = zip(self._checks, outcomes, strict=True)
                self._failures = {name: reason for name, reason in pairs if reason}
                self._checked_at = loop.time()
        return self._failures


async def _run(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return None if await check() else "not ready"
    except TimeoutError:
        return f"no answer in {_TIMEOUT_S:.0f} s"
    except Exception as error:  # noqa: BLE001 - whatever a check raises is the reason
        return f"{type(error).__name__}"


def _answer(failures: dict[str, str]) -> JSONResponse:
    body: dict[str, Any] = {"status": "failing" if failures else "ok"}
    if failures:
        body["checks"] = failures
    return JSONResponse(body, 503 if failures else 200)
