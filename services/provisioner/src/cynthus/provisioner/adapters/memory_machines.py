"""Machines that exist only in memory: for tests of everything that is not a provider."""

from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.ports import MachineSpec


class MemoryMachines:
    """The Machines port without machines. `specs` is what was created and not deleted."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.specs: dict[str, MachineSpec] = {}

    @property
    def host(self) -> Host:
        """As given."""
        return self._host

    async def create(self, spec: MachineSpec) -> None:
        """Note it."""
        self.specs.setdefault(spec.name, spec)

    async def list(self) -> frozenset[str]:
        """What is noted."""
        return frozenset(self.specs)

    async def delete(self, name: str) -> None:
        """Forget it."""
        self.specs.pop(name, None)
