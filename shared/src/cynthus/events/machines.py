"""Facts about machines."""

from typing import ClassVar

from cynthus.events.run import Cause, RunEvent


class MachineDelayed(RunEvent):
    """Provisioner: a machine will come, but not at once."""

    kind: ClassVar[str] = "machine.delayed"
    epoch: int
    reason: str


class VMReady(RunEvent):
    """Provisioner: a machine said hello and is held for this attempt."""

    kind: ClassVar[str] = "vm.ready"
    epoch: int
    machine: str
    reused: bool = False


class VMFailed(RunEvent):
    """Provisioner: no machine can be had for this attempt."""

    kind: ClassVar[str] = "vm.failed"
    epoch: int
    cause: Cause
    transient: bool = False


class VMLost(RunEvent):
    """Provisioner: the provider says that the attempt's machine is gone."""

    kind: ClassVar[str] = "vm.lost"
    epoch: int
    machine: str
    cause: Cause


class VMDeleted(RunEvent):
    """Provisioner: a machine was deleted and seen to be gone; `run_id` is the last run it was held for."""

    kind: ClassVar[str] = "vm.deleted"
    machine: str
