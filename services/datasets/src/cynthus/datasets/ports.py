"""What the datasets service needs from outside."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Contents:
    """What a pinned snapshot holds."""

    files: int
    bytes: int


class Pins(Protocol):
    """What is known of snapshots: looked up once, remembered."""

    async def contents(self, owner: str, snapshot: str) -> Contents | None:
        """Files and bytes of a complete snapshot; None when the owner has no such snapshot."""
        ...
