"""The machine pool: what to create, delete and report, given what our ledger and the provider say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Stage(StrEnum):
    """Where a machine stands in our ledger."""

    INTENDED = "intended"
    BOOTING = "booting"
    IDLE = "idle"
    HELD = "held"
    DELETING = "deleting"
    GONE = "gone"


class Standing(StrEnum):
    """Where a machine stands, says its provider."""

    COMING = "coming"
    RUNNING = "running"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Listed:
    """A machine in the provider's listing."""

    name: str
    zone: str = "here"
    standing: Standing = Standing.RUNNING


@dataclass(frozen=True, slots=True)
class MachineRow:
    """One line of the ledger. `since` is when it entered its stage."""

    name: str
    stage: Stage
    since: datetime
    run_id: str | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many machines there may be, how many idle ones are kept ready, and how long the others may idle."""

    slots: int
    warm: int
    idle_ttl: timedelta
    boot_timeout: timedelta


@dataclass(frozen=True, slots=True)
class Create:
    """Write an intent and create one more machine."""


@dataclass(frozen=True, slots=True)
class Ensure:
    """Call create again for an intent whose call may not have happened; it is idempotent by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a machine, or go on deleting it."""

    name: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """The provider no longer lists a machine that we believe in."""

    machine: MachineRow


Action = Create | Ensure | Delete | Vanished


def reconcile(
    rows: Sequence[MachineRow], listed: frozenset[str], waiting: int, now: datetime, limits: Limits
) -> list[Action]:
    """Every step that brings ledger, provider and need together; each is safe to repeat."""
    actions: list[Action] = []
    actions += [
        Delete(name) for name in sorted(listed - {row.name for row in rows if row.stage is not Stage.GONE})
    ]
    for row in rows:
        actions += _one(row, row.name in listed, now, limits)
    return actions + _size(rows, waiting, now, limits)


def _one(row: MachineRow, listed: bool, now: datetime, limits: Limits) -> list[Action]:  # noqa: FBT001
    age = now - row.since
    match row.stage:
        case Stage.INTENDED:
            return [] if listed else [Ensure(row.name)]
        case Stage.BOOTING if not listed:
            return [Vanished(row)]
        case Stage.BOOTING if age > limits.boot_timeout:
            return [Delete(row.name)]
        case Stage.IDLE | Stage.HELD if not listed:
            return [Vanished(row)]
        case Stage.DELETING:
            return [Delete(row.name)] if listed else [Vanished(row)]
        case _:
            return []


def _size(rows: Sequence[MachineRow], waiting: int, now: datetime, limits: Limits) -> list[Action]:
    alive = [row for row in rows if row.stage is not Stage.GONE]
    idle = sorted((row for row in alive if row.stage is Stage.IDLE), key=lambda row: row.since)
    coming = [row for row in alive if row.stage in {Stage.INTENDED, Stage.BOOTING}]
    wanted = waiting + limits.warm - len(idle) - len(coming)
    room = limits.slots + limits.warm - len(alive)
    if wanted > 0:
        return [Create()] * max(0, min(wanted, room))
    spare = [row for row in idle if now - row.since > limits.idle_ttl]
    return [Delete(row.name) for row in spare[: max(0, -wanted)]]
