"""Projections made anew from history, in the very database: after its rows were written down."""

from pathlib import Path

from cynthus.gateway.adapters.postgres_submissions import PostgresSubmissions
from cynthus.orchestrator.adapters.postgres_projection import RunTables
from cynthus.orchestrator.domain.limits import Limits
from cynthus.orchestrator.handlers.recent import RecentRuns
from cynthus.provisioner.adapters.postgres_requests import RequestTable
from cynthus.store.database import Database, open_database
from cynthus.store.postgres import PostgresEventStore
from cynthus.store.projections import Projection
from cynthus.store.rebuild import rebuild
from tests.chaos.evidence import dump_table
from tests.chaos.settings import Settings

_TABLES = {
    "gateway": ("submissions",),
    "orchestrator": ("runs", "attempts"),
    "provisioner": ("requests",),
}


async def rebuild_all(url: str, settings: Settings, folder: Path) -> None:
    """Rebuild, and write the tables that are functions of history into `folder`."""
    folder.mkdir(exist_ok=True)
    async with open_database(url, max_size=2) as database:
        for service, projection in _projections(database, settings).items():
            store = PostgresEventStore(database, schema=service, source=service)
            await rebuild(store, [projection])
            async with database.transaction() as connection:
                for table in _TABLES[service]:
                    await dump_table(connection, service, table, folder)


def _projections(database: Database, settings: Settings) -> dict[str, Projection]:
    limits = Limits(
        grace_s=settings.grace_s,
        infrastructure_retries=settings.infrastructure_retries,
        machines_are_free=True,
    )
    return {
        "gateway": PostgresSubmissions(database),
        "orchestrator": RunTables(RecentRuns(), limits, settings.lease_s),
        "provisioner": RequestTable(),
    }
