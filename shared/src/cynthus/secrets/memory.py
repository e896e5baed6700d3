"""Secrets in memory, for tests."""


class MemorySecrets:
    """A dictionary behind the Secrets port."""

    def __init__(self) -> None:
        self._scopes: dict[str, dict[str, str]] = {}

    async def put(self, scope: str, values: dict[str, str]) -> None:
        """Replace the values of a scope."""
        self._scopes[scope] = dict(values)

    async def get(self, scope: str) -> dict[str, str]:
        """All values of a scope."""
        return dict(self._scopes.get(scope, {}))

    async def delete(self, scope: str) -> None:
        """Forget a scope."""
        self._scopes.pop(scope, None)
