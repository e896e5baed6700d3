"""Who holds a machine: decided in the transaction that says so in the history."""

from collections.abc import Sequence

from cynthus.events import AttemptLost, Event, MachineReleased, MachineRequested, VMLost, VMReady
from cynthus.provisioner.adapters.ledger_statements import going
from cynthus.store.database import Connection
from cynthus.store.ports import ConcurrentAppend, Recorded

_HOLD = """
    UPDATE provisioner.machines
    SET stage = 'held', since = clock_timestamp(), run_id = $2, epoch = $3, needless_since = NULL
    WHERE name = $1 AND stage = 'idle' AND NOT leaving RETURNING name
"""
_LET_GO = """
    UPDATE provisioner.machines SET stage = 'idle', since = clock_timestamp()
    WHERE run_id = $1 AND epoch = $2 AND stage = 'held'
"""
_DROP = going("""
    UPDATE provisioner.machines SET @go, why = $3
    WHERE run_id = $1 AND epoch = $2 AND stage IN ('held', 'idle')
""")
_DROP_OLDER = going("""
    UPDATE provisioner.machines SET @go, why = 'its run went on to another attempt'
    WHERE run_id = $1 AND epoch < $2 AND stage = 'held'
""")


class MachineHolds:
    """Not a function of the history, so not rebuilt: it refuses a fact when the machine is taken."""

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Hold and let go. Raises ConcurrentAppend when somebody else holds the machine."""
        for entry in recorded:
            await _apply(connection, entry.envelope.event)

    async def reset(self, connection: Connection) -> None:
        """Nothing: the ledger's machines are intents, which no history can tell again."""


async def _apply(connection: Connection, event: Event) -> None:
    match event:
        case MachineRequested() | MachineReleased() | AttemptLost() if event.epoch > 1:
            await connection.execute(_DROP_OLDER, event.run_id, event.epoch)
    match event:
        case VMReady(run_id=run_id, epoch=epoch, machine=machine):
            if await connection.fetchval(_HOLD, machine, run_id, epoch) is None:
                raise ConcurrentAppend(machine)
        case MachineReleased(run_id=run_id, epoch=epoch, lost=True):
            await connection.execute(_DROP, run_id, epoch, "its attempt was lost on it")
        case MachineReleased(run_id=run_id, epoch=epoch):
            await connection.execute(_LET_GO, run_id, epoch)
        case AttemptLost(run_id=run_id, epoch=epoch):
            await connection.execute(_DROP, run_id, epoch, "its attempt was fenced")
        case VMLost(run_id=run_id, epoch=epoch):
            await connection.execute(_DROP, run_id, epoch, "it went away")
        case _:
            return
