"""From an import to the distribution that brings it, or an honest "that cannot be known"."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cynthus.planning.names import normalised

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True)
class Known:
    """One sure answer; `also` are other distributions that bring the same module."""

    distribution: str
    reason: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contested:
    """Several projects claim the name, so a person must say which."""

    candidates: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A module that no package for Linux brings."""

    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing sure is known; `own` when the name looks like the project's own file."""

    own: bool = False


Answer = Known | Contested | Elsewhere | Unknown


def look_up(module: str) -> Answer:
    """The answer for a dotted name; the longest known prefix wins."""
    table = _table()
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in table:
            return table[prefix]
    return _same_name(parts[0])


def known_part(module: str) -> str | None:
    """The longest beginning of a dotted name that one distribution brings; None when none is known."""
    table = _table()
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in table:
            return prefix if isinstance(table[prefix], Known) else None
    return None


def is_namespace(top: str) -> bool:
    """Whether several distributions put their modules under this name."""
    return top in _namespaces()


def rank(distribution: str) -> int | None:
    """The place of a normalised name among the most downloaded; None when not among them."""
    marker = f"\n{distribution} ".encode()
    names = _names()
    at = names.find(marker)
    if at < 0:
        return None
    start = at + len(marker)
    return int(names[start : names.index(b"\n", start)])


def is_certain(module: str) -> bool:
    """Whether look_up has one answer."""
    return isinstance(look_up(module), Known)


def _same_name(top: str) -> Answer:
    name = normalised(top)
    place = rank(name)
    if place is None:
        return Unknown()
    return Known(name, f"same name on PyPI (rank {place})")


@cache
def _names() -> bytes:
    return (DATA / "names.txt").read_bytes()


@cache
def _namespaces() -> frozenset[str]:
    data: dict[str, Any] = json.loads((DATA / "imports.json").read_bytes())
    return frozenset(name.partition(".")[0] for name in data["namespaces"])


@cache
def _table() -> dict[str, Answer]:
    data: dict[str, Any] = json.loads((DATA / "imports.json").read_bytes())
    table: dict[str, Answer] = {}
    table.update((name, Unknown()) for name in data["namespaces"])
    table.update((name, Unknown(own=True)) for name in data["own"])
    for row in data["elsewhere"]:
        table[row["import"]] = Elsewhere(row["reason"], row["fix"])
    for row in data["ambiguous"]:
        table[row["import"]] = Contested(tuple(row["candidates"]), row["reason"])
    for row in data["distributions"]:
        table[row["import"]] = Known(
            row["distribution"],
            row.get("reason", f"{row['distribution']} brings it"),
            tuple(row.get("also", ())),
        )
    return table
