"""Questions to another service of the platform, wherever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

Query = Mapping[str, str | int | float | Sequence[str]]
"""The query of a question; a sequence is one name several times."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a service answered, whatever the status."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """It did what it was asked."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class ServiceSilent(Exception):
    """A service gave no answer, or none in time."""


class ServiceCalls(Protocol):
    """Questions to one other service of the platform."""

    async def ask(
        self,
        method: str,
        path: str,
        query: Query,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        body: bytes = b"",
    ) -> Reply:
        """Its answer; `path` is percent-encoded. Raises ServiceSilent."""
        ...
