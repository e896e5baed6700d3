"""Runs a service: its web server and background tasks, from start to a clean end."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import NoReturn, TypeVar

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from starlette.types import ASGIApp

from cynthus.runtime import configuration, health
from cynthus.runtime import logging as process_log
from cynthus.runtime.lifecycle import Lifecycle
from cynthus.runtime.opening import open_platform
from cynthus.runtime.platform import Platform
from cynthus.runtime.service import Service
from cynthus.runtime.settings import PlatformSettings
from cynthus.runtime.sockets import listen
from cynthus.runtime.supervision import supervised
from cynthus.store.migrations import migrate

START_FAILED = 3
GRACE_S = 3

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SettingsT = TypeVar("_SettingsT", bound=BaseSettings)
_log = structlog.get_logger(__name__)


def run_service(
    settings_class: type[_SettingsT],
    open_service: Callable[[_SettingsT, Platform], AbstractAsyncContextManager[Service]],
) -> None:
    """The `__main__` of a service: `--check` prints the configuration; exit code 3 when it cannot start."""
    name = configuration.service_name(settings_class)
    try:
        settings, platform_settings = settings_class(), PlatformSettings()
    except ValidationError as error:
        _fail(name, configuration.explain(error))
    if "--check" in sys.argv[1:]:
        print(configuration.effective(platform_settings, settings))  # noqa: T201 - the answer of --check
        return
    process_log.configure(name)

    async def run() -> None:
        address = settings.model_dump(include={"host", "port"})
        taken = listen(address["host"], address["port"], setting=f"CYNTHUS_{name.upper()}_PORT")
        await migrate(platform_settings.database_url, name)
        async with open_platform(platform_settings) as platform, open_service(settings, platform) as service:
            await serve(service, taken)

    try:
        uvloop.run(run())
    except Exception as error:  # noqa: BLE001 - whatever stops a start is told in one line
        _fail(name, str(error) or type(error).__name__)


async def serve(service: Service, taken: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT: then not ready, no more messages, open requests end, done."""
    lifecycle = Lifecycle()
    service.app.include_router(health.router(service.name, service.checks or {}, lifecycle))
    server = web_server(service.entry)
    with _stop_on_signal(lifecycle.stopping):
        serving = asyncio.create_task(server.serve(sockets=[taken]))
        async with supervised(service.tasks, service=service.name):
            lifecycle.started = True
            host, port = taken.getsockname()[:2]
            _log.info("serving", url=f"http://{host}:{port}", service=service.name)
            stopped = asyncio.create_task(lifecycle.stopping.wait())
            await asyncio.wait([stopped, serving], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        server.should_exit = True
        await serving
    _log.info("stopped", service=service.name)


def web_server(app: ASGIApp) -> uvicorn.Server:
    """An HTTP/1.1 server that leaves signals and the log to its caller."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
    )
    return _QuietServer(config)


class _QuietServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _stop_on_signal(stopping: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _fail(name: str, reason: str) -> NoReturn:
    line = " ".join(reason.split())
    print(f"{name}: cannot start: {line}", file=sys.stderr)  # noqa: T201 - the log may not be set up
    sys.exit(START_FAILED)
