"""Machines that nobody needs any more and that are still there, or are said to be and are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cynthus.provisioner.domain.machine import Listed, MachineRow, Stage


@dataclass(frozen=True, slots=True)
class Leak:
    """A machine that outlived its need, since when, and what is known of it."""

    machine: str
    zone: str
    since: datetime
    reason: str
    age_s: float


def leaks(
    rows: Iterable[MachineRow], listing: Sequence[Listed], now: datetime, grace: timedelta, lag: timedelta
) -> list[Leak]:
    """What is against the promise, oldest first. A machine seen only now is not old enough to be a leak."""
    listed = {machine.name for machine in listing}
    found = [_leak(row, row.name in listed, now, grace, lag) for row in rows]
    return sorted((leak for leak in found if leak is not None), key=lambda leak: leak.since)


def _leak(
    row: MachineRow,
    listed: bool,  # noqa: FBT001 - the provider's word
    now: datetime,
    grace: timedelta,
    lag: timedelta,
) -> Leak | None:
    if row.stage is Stage.GONE:
        return None
    if listed:
        since, reason = row.needless_since, row.why or f"{row.stage} and needed by nobody"
    elif row.stage is Stage.INTENDED:
        return None
    else:
        since, reason = row.absent_since, f"{row.stage} in the ledger, and its provider does not list it"
    limit = grace if listed else grace + lag
    if since is None or now - since <= limit:
        return None
    return Leak(row.name, row.zone, since, reason, (now - since).total_seconds())
