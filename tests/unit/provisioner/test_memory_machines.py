"""The in-memory provider keeps the contract too."""

import pytest

from cynthus.provisioner.adapters.memory_machines import MemoryMachines
from cynthus.provisioner.domain.host import Host
from tests.contracts.machines import MachinesContract


class TestMemoryMachines(MachinesContract):
    @pytest.fixture
    def machines(self):
        return MemoryMachines(Host(cpu=2, memory_bytes=10**9))
