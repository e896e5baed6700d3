"""The ledger in memory keeps the contract too."""

from datetime import timedelta

import pytest

from cynthus.provisioner.adapters.memory_ledger import MemoryLedger
from cynthus.store.memory import MemoryEventStore
from tests.contracts.holds import Holds, HoldsContract
from tests.contracts.ledger import LedgerContract


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self):
        return MemoryLedger(memory=timedelta(seconds=60))


class TestMemoryHolds(HoldsContract):
    @pytest.fixture
    def holds(self):
        ledger = MemoryLedger()
        return Holds(ledger, MemoryEventStore(source="provisioner", projections=[ledger]))
