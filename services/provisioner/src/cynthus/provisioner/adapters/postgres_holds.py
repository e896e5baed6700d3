"""Who holds a machine: decided in the transaction that says so in the history."""

from collections.abc import Sequence

from cynthus.events import MachineReleased, VMReady
from cynthus.store.database import Connection
from cynthus.store.ports import ConcurrentAppend, Recorded

_HOLD = """
    UPDATE provisioner.machines SET stage = 'held', since = clock_timestamp(), run_id = $2, epoch = $3
    WHERE name = $1 AND stage = 'idle' RETURNING name
"""
_LET_GO = """
    UPDATE provisioner.machines SET stage = 'idle', since = clock_timestamp()
    WHERE run_id = $1 AND epoch = $2 AND stage = 'held'
"""


class MachineHolds:
    """Not a function of the history, so not rebuilt: it refuses a fact when the machine is taken."""

    async def apply(self, connection: Connection, recorded: Sequence[Recorded]) -> None:
        """Hold and let go. Raises ConcurrentAppend when somebody else holds the machine."""
        for entry in recorded:
            match entry.envelope.event:
                case VMReady(run_id=run_id, epoch=epoch, machine=machine):
                    if await connection.fetchval(_HOLD, machine, run_id, epoch) is None:
                        raise ConcurrentAppend(machine)
                case MachineReleased(run_id=run_id, epoch=epoch):
                    await connection.execute(_LET_GO, run_id, epoch)
                case _:
                    continue

    async def reset(self, connection: Connection) -> None:
        """Nothing: the ledger's machines are intents, which no history can tell again."""
