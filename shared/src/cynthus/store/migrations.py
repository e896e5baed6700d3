"""A service's tables brought to their newest form; without Alembic's cost when they have it already."""

import re
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from cynthus.store.database import Connection, Database, open_database

_REVISION = re.compile(r"(\d{4})_\w+\.py")


async def migrate(target: str | Database, *services: str) -> None:
    """Bring the schemas of `services` to head; a short query each when they are. Raises StoreUnavailable."""
    if isinstance(target, str):
        async with open_database(target, max_size=1) as database:
            await migrate(database, *services)
        return
    async with target.connection() as connection:
        behind = [service for service in services if await _is_behind(connection, service)]
    if behind:
        from cynthus.store.upgrades import upgrade

        for service in behind:
            await upgrade(target.url, service)


def migrations_of(service: str) -> Path:
    """The folder of a service's Alembic environment. Raises LookupError for what is no service."""
    spec = find_spec(f"cynthus.{service}")
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"there is no package cynthus.{service}")
    return Path(spec.submodule_search_locations[0], "migrations")


def head(service: str) -> str:
    """The newest revision, from the file names in versions/: `0002_add_labels.py` is revision 0002."""
    names = (path.name for path in (migrations_of(service) / "versions").iterdir())
    return max((match[1] for name in names if (match := _REVISION.fullmatch(name))), default="0000")


async def _is_behind(connection: Connection, service: str) -> bool:
    try:
        current = await connection.fetchval(f'SELECT version_num FROM "{service}".alembic_version')  # noqa: S608 - a package's name
    except asyncpg.UndefinedTableError:
        return True
    return current is None or str(current) < head(service)
