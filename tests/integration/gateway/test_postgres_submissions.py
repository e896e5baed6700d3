import pytest

from cynthus.gateway.adapters.postgres_submissions import PostgresSubmissions
from cynthus.store.database import Database, open_database
from cynthus.store.migrations import migrate
from cynthus.store.postgres import PostgresEventStore
from tests.contracts.submissions import SubmissionsContract


class TestPostgresSubmissions(SubmissionsContract):
    @pytest.fixture
    async def database(self, database_url: str):
        await migrate(database_url, "gateway")
        async with open_database(database_url) as database:
            yield database

    @pytest.fixture
    def submissions(self, database: Database) -> PostgresSubmissions:
        return PostgresSubmissions(database)

    @pytest.fixture
    def store(self, database: Database, submissions: PostgresSubmissions) -> PostgresEventStore:
        return PostgresEventStore(database, schema="gateway", source="gateway", projections=[submissions])
