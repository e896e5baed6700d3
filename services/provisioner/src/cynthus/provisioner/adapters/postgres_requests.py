"""Requests in PostgreSQL: a function of the history, and nothing else."""

from collections.abc import Sequence

from cynthus.events import (
    AttemptLost,
    Event,
    MachineDelayed,
    MachineReleased,
    MachineRequested,
    VMFailed,
    VMLost,
    VMReady,
)
from cynthus.store.database import Connection
from cynthus.store.ports import Recorded

_ADD = """
    INSERT INTO provisioner.requests (run_id, epoch, stage, "order") VALUES ($1, $2, 'waiting', $3)
"""
_SUPERSEDE = """
    UPDATE provisioner.requests SET stage = 'released' WHERE run_id = $1 AND epoch < $2 AND stage = 'waiting'
"""
_DELAY = "UPDATE provisioner.requests SET delayed = true WHERE run_id = $1 AND epoch = $2"
_SERVE = """
    UPDATE provisioner.requests SET stage = 'served', machine = $3 WHERE run_id = $1 AND epoch = $2
"""
_END_UNLESS_OVER = """
    UPDATE provisioner.requests SET stage = $3
    WHERE run_id = $1 AND epoch = $2 AND stage IN ('waiting', 'served')
"""
_END = "UPDATE provisioner.requests SET stage = $3 WHERE run_id = $1 AND epoch = $2"


class RequestTable:
    """The projection behind `Ledger.waiting`."""

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Follow the history, in the transaction that appends to it."""
        for entry in recorded:
            await _apply(connection, entry.envelope.event, entry.position[1])

    async def reset(self, connection: Connection) -> None:
        """Empty the table."""
        await connection.execute("DELETE FROM provisioner.requests")


async def _apply(connection: Connection, event: Event, order: int) -> None:
    match event:
        case MachineRequested() | MachineReleased() | AttemptLost() if event.epoch > 1:
            await connection.execute(_SUPERSEDE, event.run_id, event.epoch)
    match event:
        case MachineRequested(run_id=run_id, epoch=epoch):
            await connection.execute(_ADD, run_id, epoch, order)
        case MachineDelayed(run_id=run_id, epoch=epoch):
            await connection.execute(_DELAY, run_id, epoch)
        case VMReady(run_id=run_id, epoch=epoch, machine=machine):
            await connection.execute(_SERVE, run_id, epoch, machine)
        case MachineReleased(run_id=run_id, epoch=epoch):
            await connection.execute(_END, run_id, epoch, "released")
        case AttemptLost(run_id=run_id, epoch=epoch):
            await connection.execute(_END_UNLESS_OVER, run_id, epoch, "released")
        case VMFailed(run_id=run_id, epoch=epoch):
            await connection.execute(_END, run_id, epoch, "failed")
        case VMLost(run_id=run_id, epoch=epoch):
            await connection.execute(_END, run_id, epoch, "lost")
        case _:
            return
