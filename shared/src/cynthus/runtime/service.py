"""What a service is to the process that runs it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import ASGIApp

Task = Callable[[], Awaitable[None]]
"""Runs until cancelled: a relay, a consumer, a reconciler."""


@dataclass(frozen=True, slots=True)
class Service:
    """An assembled service: its web application, its background tasks, and its readiness checks by name."""

    name: str
    app: FastAPI
    tasks: Sequence[Task] = ()
    checks: dict[str, Callable[[], Awaitable[bool]]] | None = None
    front: ASGIApp | None = None
    """What requests meet before the application, where that would cost more than the answer."""

    @property
    def entry(self) -> ASGIApp:
        """What answers requests."""
        return self.front or self.app
