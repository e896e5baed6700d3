"""The ledger in PostgreSQL."""

from datetime import timedelta

import pytest

from cynthus.provisioner.adapters.postgres_holds import MachineHolds
from cynthus.provisioner.adapters.postgres_ledger import PostgresLedger
from cynthus.provisioner.adapters.postgres_requests import RequestTable
from cynthus.store.database import open_database
from cynthus.store.migrations import migrate
from cynthus.store.postgres import PostgresEventStore
from tests.contracts.holds import Holds, HoldsContract
from tests.contracts.ledger import LedgerContract


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    async def ledger(self, database_url):
        await migrate(database_url, "provisioner")
        async with open_database(database_url) as database:
            yield PostgresLedger(database, memory=timedelta(seconds=60))


class TestPostgresHolds(HoldsContract):
    @pytest.fixture
    async def holds(self, database_url):
        await migrate(database_url, "provisioner")
        async with open_database(database_url) as database:
            store = PostgresEventStore(
                database,
                schema="provisioner",
                source="provisioner",
                projections=[RequestTable(), MachineHolds()],
            )
            yield Holds(PostgresLedger(database), store)
