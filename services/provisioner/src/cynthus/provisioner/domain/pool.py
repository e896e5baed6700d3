"""The machine pool: what to create, delete and report, given what our ledger and the provider say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cynthus.provisioner.domain.machine import Listed, MachineRow, Snapshot, Stage, Standing

_COMING = frozenset({Stage.INTENDED, Stage.BOOTING})
_FREE = (Stage.IDLE, Stage.BOOTING, Stage.INTENDED)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many machines there may be and how many idle ones are kept ready.

    A machine is deleted when it was needless for `idle_ttl`, or did not come up within `boot_timeout`.
    """

    slots: int
    warm: int
    idle_ttl: timedelta
    boot_timeout: timedelta


@dataclass(frozen=True, slots=True)
class Provider:
    """Where machines can be, the preferred zone first, and how far the listing may be behind the truth."""

    zones: tuple[str, ...] = ("here",)
    lag: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Create:
    """Write an intent and create one more machine."""

    zone: str = "here"


@dataclass(frozen=True, slots=True)
class Ensure:
    """Call create for an intent whose call may not have happened; the same call again is the same machine."""

    machine: MachineRow


@dataclass(frozen=True, slots=True)
class Appeared:
    """The provider lists an intent: its call was heard, whatever was answered."""

    machine: MachineRow


@dataclass(frozen=True, slots=True)
class Close:
    """Decide that a machine is to go."""

    machine: MachineRow
    why: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Call delete for a machine that is to go; again and again, until the listing agrees."""

    machine: MachineRow


@dataclass(frozen=True, slots=True)
class Adopt:
    """The provider lists a machine of ours that the ledger does not want: take it in, to delete it."""

    listed: Listed


@dataclass(frozen=True, slots=True)
class Vanished:
    """The provider no longer lists a machine that we believe in."""

    machine: MachineRow


@dataclass(frozen=True, slots=True)
class Gone:
    """The provider no longer lists a machine that was to go."""

    machine: MachineRow


Action = Create | Ensure | Appeared | Close | Delete | Adopt | Vanished | Gone


@dataclass(frozen=True, slots=True)
class Marks:
    """What a listing changes in what the ledger knows, by name."""

    seen: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    needless: frozenset[str] = frozenset()

    def names(self) -> frozenset[str]:
        """All of them."""
        return self.seen | self.absent | self.leaving | self.needed | self.needless


@dataclass(frozen=True, slots=True)
class Plan:
    """What to note, then what to do; every step is safe to repeat."""

    marks: Marks = Marks()
    actions: list[Action] = field(default_factory=list)


def reconcile(snapshot: Snapshot, listing: Sequence[Listed], limits: Limits, provider: Provider) -> Plan:
    """Bring ledger, provider and need together. The listing must have been asked for after the snapshot."""
    listed = {machine.name: machine for machine in listing}
    known = {row.name for row in snapshot.rows}
    view = _View(snapshot.now, needed(snapshot, limits), limits, provider.lag)
    actions: list[Action] = [Adopt(machine) for machine in listing if machine.name not in known]
    for row in snapshot.rows:
        actions += _one(row, listed.get(row.name), view)
    open_zones = [zone for zone in provider.zones if zone not in snapshot.shut]
    if open_zones and not snapshot.quota:
        actions += [Create(open_zones[0])] * lacking(snapshot.rows, snapshot.waiting, limits)
    return Plan(_marks(snapshot.rows, listed, view.wanted), actions)


def needed(snapshot: Snapshot, limits: Limits) -> frozenset[str]:
    """Machines that are held, and as many of the others as requests wait and machines are kept ready."""
    held = {row.name for row in snapshot.rows if row.stage is Stage.HELD}
    free = [row for stage in _FREE for row in _warmest(snapshot.rows, stage) if not row.leaving]
    return frozenset(held | {row.name for row in free[: snapshot.waiting + limits.warm]})


def lacking(rows: Iterable[MachineRow], waiting: int, limits: Limits) -> int:
    """How many machines are to be created: what is needed beyond what is there, as far as there is room."""
    alive = [row for row in rows if row.stage is not Stage.GONE]
    free = sum(row.stage in _FREE for row in alive)
    return max(0, min(waiting + limits.warm - free, limits.slots + limits.warm - len(alive)))


def _warmest(rows: Sequence[MachineRow], stage: Stage) -> list[MachineRow]:
    """The idle machine used last has the warmest caches; the one coming for longest is here first."""
    found = [row for row in rows if row.stage is stage]
    return sorted(found, key=lambda row: (row.since, row.name), reverse=stage is Stage.IDLE)


@dataclass(frozen=True, slots=True)
class _View:
    """What all machines are looked at with."""

    now: datetime
    wanted: frozenset[str]
    limits: Limits
    lag: timedelta


def _one(row: MachineRow, machine: Listed | None, view: _View) -> list[Action]:
    match row.stage:
        case Stage.GONE:
            return [] if machine is None else [Adopt(machine)]
        case Stage.DELETING if machine is not None:
            return [Delete(row)] if row.due(view.now) else []
        case Stage.DELETING:
            return [Gone(row)] if _confirmed_absent(row, view) else []
        case Stage.INTENDED if machine is not None:
            return [Appeared(row)]
        case Stage.INTENDED if row.name in view.wanted:
            return [Ensure(row)] if row.due(view.now) else []
        case Stage.BOOTING | Stage.IDLE | Stage.HELD if machine is None:
            return [Vanished(row)] if _confirmed_absent(row, view) else []
        case Stage.HELD:
            return []
    why = _why_not(row, machine, view)
    return [] if why is None else [Close(row, why)]


def _confirmed_absent(row: MachineRow, view: _View) -> bool:
    """Absent from this listing, and from one that was taken at least its lag ago."""
    return not view.lag or (row.absent_since is not None and view.now - row.absent_since >= view.lag)


def _why_not(row: MachineRow, machine: Listed | None, view: _View) -> str | None:
    limits = view.limits
    if machine is not None and machine.standing is Standing.LEAVING:
        return "its provider takes it away"
    if row.stage is Stage.BOOTING and view.now - row.since > limits.boot_timeout:
        return f"it did not come up within {limits.boot_timeout.total_seconds():.0f} s"
    needless_since = None if row.name in view.wanted else row.needless_since
    if needless_since is not None and view.now - needless_since >= limits.idle_ttl:
        return "nobody needs it"
    return None


def _marks(rows: Sequence[MachineRow], listed: dict[str, Listed], wanted: frozenset[str]) -> Marks:
    """Only what is news."""
    here = [row for row in rows if row.stage is not Stage.GONE]
    return Marks(
        seen=frozenset(row.name for row in here if row.absent_since is not None and row.name in listed),
        absent=frozenset(row.name for row in here if row.absent_since is None and row.name not in listed),
        leaving=frozenset(
            row.name
            for row in here
            if not row.leaving and row.name in listed and listed[row.name].standing is Standing.LEAVING
        ),
        needed=frozenset(row.name for row in here if row.needless_since is not None and row.name in wanted),
        needless=frozenset(row.name for row in here if row.needless_since is None and row.name not in wanted),
    )


def backoff(attempts: int, first: timedelta, most: timedelta) -> timedelta:
    """How long to wait after so many calls: doubling, up to a limit."""
    return min(most, first * 2.0 ** min(max(0, attempts - 1), 30))
