"""Secrets: values that never appear in an event, a log or an answer."""

from typing import Protocol


class Secrets(Protocol):
    """A store of secret values, by scope (such as a run's id) and name."""

    async def put(self, scope: str, values: dict[str, str]) -> None:
        """Store values under a scope; the scope's earlier values are replaced."""
        ...

    async def get(self, scope: str) -> dict[str, str]:
        """All values of a scope; empty when there are none."""
        ...

    async def delete(self, scope: str) -> None:
        """Forget a scope; an absent one is not an error."""
        ...
