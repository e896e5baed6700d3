import pytest

from cynthus.orchestrator.adapters.memory_leases import MemoryLeases
from cynthus.orchestrator.adapters.memory_logs import MemoryLogIndex
from cynthus.orchestrator.adapters.memory_runs import MemoryRuns
from cynthus.orchestrator.adapters.memory_tables import MemoryTables
from cynthus.store.memory import MemoryEventStore
from tests.contracts.run_tables import LEASE_S, LIMITS, Kept, RunTablesContract


class TestMemoryTables(RunTablesContract):
    @pytest.fixture
    def kept(self) -> Kept:
        tables = MemoryTables(LIMITS, LEASE_S)
        store = MemoryEventStore(source="orchestrator", projections=[tables])
        return Kept(store, MemoryRuns(tables), MemoryLeases(tables), MemoryLogIndex(tables))
