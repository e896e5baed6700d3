import pytest

from cynthus.orchestrator.adapters.postgres_leases import PostgresLeases
from cynthus.orchestrator.adapters.postgres_logs import PostgresLogIndex
from cynthus.orchestrator.adapters.postgres_projection import RunTables
from cynthus.orchestrator.adapters.postgres_runs import PostgresRuns
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.store.database import open_database
from cynthus.store.migrations import migrate
from cynthus.store.postgres import PostgresEventStore
from tests.contracts.run_tables import LEASE_S, LIMITS, Kept, RunTablesContract


class TestPostgresTables(RunTablesContract):
    @pytest.fixture
    async def kept(self, database_url: str):
        await migrate(database_url, "orchestrator")
        async with open_database(database_url) as database:
            projection = RunTables(RecentRuns(), LIMITS, LEASE_S)
            store = PostgresEventStore(
                database, schema="orchestrator", source="orchestrator", projections=[projection]
            )
            runs, leases, logs = PostgresRuns(database), PostgresLeases(database), PostgresLogIndex(database)
            yield Kept(store, runs, leases, logs)
