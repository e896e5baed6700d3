"""What the migrations of every service do: `await assert_migrations(database_url, "gateway")`."""

from cynthus.store.database import open_database
from cynthus.store.migrations import head, migrate
from cynthus.store.upgrades import check, downgrade, upgrade


async def assert_migrations(database_url: str, service: str) -> None:
    """Up, down, up again; the tables are those of tables.py; a second start changes nothing."""
    await upgrade(database_url, service)
    await downgrade(database_url, service)
    assert await _tables(database_url, service) == ["alembic_version"]
    await migrate(database_url, service)
    assert "events" in await _tables(database_url, service)
    await check(database_url, service)
    await migrate(database_url, service)
    async with open_database(database_url) as database, database.connection() as connection:
        version = await connection.fetchval(f'SELECT version_num FROM "{service}".alembic_version')
    assert version == head(service)


async def _tables(database_url: str, service: str) -> list[str]:
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = $1 ORDER BY 1"
    async with open_database(database_url) as database, database.connection() as connection:
        return [row["table_name"] for row in await connection.fetch(query, service)]
