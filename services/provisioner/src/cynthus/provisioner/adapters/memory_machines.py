"""Machines that exist only in memory: for tests of everything that is not a provider."""

from cynthus.provisioner.domain.host import Host
from cynthus.provisioner.ports import Listed, MachineSpec


class MemoryMachines:
    """The Machines port without machines. `specs` is what was created and not deleted."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.specs: dict[str, MachineSpec] = {}

    @property
    def host(self) -> Host:
        """As given."""
        return self._host

    @property
    def zones(self) -> tuple[str, ...]:
        """One."""
        return ("here",)

    @property
    def lag_s(self) -> float:
        """Exact."""
        return 0.0

    async def create(self, spec: MachineSpec) -> None:
        """Note it."""
        known = {known.request_id for known in self.specs.values()} - {""}
        if spec.request_id not in known:
            self.specs.setdefault(spec.name, spec)

    async def list(self) -> tuple[Listed, ...]:
        """What is noted."""
        return tuple(Listed(spec.name, spec.zone) for spec in self.specs.values())

    async def delete(self, name: str, zone: str = "here") -> None:
        """Forget it."""
        spec = self.specs.get(name)
        if spec is not None and spec.zone == zone:
            del self.specs[name]
