import pytest

from cynthus.builder.adapters.postgres_builds import PostgresBuilds
from cynthus.store.database import Database, open_database
from cynthus.store.migrations import migrate
from cynthus.store.postgres import PostgresEventStore
from tests.contracts.builds import BuildsContract


class TestPostgresBuilds(BuildsContract):
    @pytest.fixture
    async def database(self, database_url: str):
        await migrate(database_url, "builder")
        async with open_database(database_url) as database:
            yield database

    @pytest.fixture
    def builds(self, database: Database) -> PostgresBuilds:
        return PostgresBuilds(database)

    @pytest.fixture
    def store(self, database: Database, builds: PostgresBuilds) -> PostgresEventStore:
        return PostgresEventStore(database, schema="builder", source="builder", projections=[builds])
