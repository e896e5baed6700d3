"""Cutting what is published into requests that a broker accepts."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar


class Sized(Protocol):
    """Something that knows how many bytes it takes."""

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        ...


Item = TypeVar("Item", bound=Sized)


def batches(items: Iterable[Item], *, most_items: int, most_bytes: int) -> Iterator[list[Item]]:
    """Consecutive groups within both limits; an item that is too large alone is a group alone."""
    group: list[Item] = []
    total = 0
    for item in items:
        if group and (len(group) == most_items or total + item.size > most_bytes):
            yield group
            group, total = [], 0
        group.append(item)
        total += item.size
    if group:
        yield group
