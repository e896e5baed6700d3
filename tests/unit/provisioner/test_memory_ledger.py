"""The ledger in memory keeps the contract too."""

from datetime import timedelta

import pytest

from cynthus.provisioner.adapters.memory_ledger import MemoryLedger
from tests.contracts.ledger import LedgerContract


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self):
        return MemoryLedger(memory=timedelta(seconds=60))
