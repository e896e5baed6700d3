"""The log: one JSON object a line, or readable lines on a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import orjson
import structlog

from cynthus.runtime.redaction import redact


def configure(service: str, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send this process's log, also that of libraries, to a stream (stderr)."""
    target = stream if stream is not None else sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _Named(service),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(target)],
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
    for name in ("uvicorn.access", "uvicorn.error", "alembic", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _rendering(target: TextIO) -> list[structlog.typing.Processor]:
    if target.isatty():
        return [_redacted, structlog.dev.ConsoleRenderer()]
    return [
        structlog.processors.format_exc_info,
        _redacted,
        structlog.processors.JSONRenderer(serializer=_dump),
    ]


class _Named:
    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", self._service)
        return event


def _redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value if name == "exc_info" else redact(value, name) for name, value in event.items()}


def _dump(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
