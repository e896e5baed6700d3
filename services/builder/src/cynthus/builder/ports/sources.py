"""Project snapshots."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from cynthus.planning.tree import SourceTree
from cynthus.snapshots.manifest import Entry


class SourceMissing(Exception):
    """The owner has no such snapshot."""


class Project(SourceTree, Protocol):
    """A project's files: for planning and for packing. For other threads than the event loop's."""

    def entries(self) -> Sequence[Entry]:
        """Files, links and empty folders, as the manifest has them."""
        ...

    def stream(self, entry: Entry) -> Iterator[bytes]:
        """A file's content in pieces."""
        ...

    def read_many(self, entries: Sequence[Entry]) -> dict[str, bytes]:
        """Contents of small files by path, fetched side by side."""
        ...


class Sources(Protocol):
    """Project snapshots, as trees that planning can read; and a place for locks beside them."""

    async def open(self, owner: str, snapshot: str) -> Project:
        """A tree whose reads may be made from another thread. Raises SourceMissing."""
        ...

    async def keep(self, owner: str, text: str) -> str:
        """Store a text as a blob of the owner; its SHA-256 in hex."""
        ...
