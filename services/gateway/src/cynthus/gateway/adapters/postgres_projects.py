"""Projects in PostgreSQL."""

import asyncpg

from cynthus.events import new_id
from cynthus.gateway.adapters.recent import Recent
from cynthus.gateway.domain.problems import ProjectMissing
from cynthus.gateway.ports import Project
from cynthus.store.database import Database

_CREATE = """
    INSERT INTO gateway.projects (id, owner, name) VALUES ($1, $2, $3)
    ON CONFLICT (owner, name) DO NOTHING RETURNING id, owner, name, snapshot, created_at"""
_FIND = """
    SELECT id, owner, name, snapshot, created_at FROM gateway.projects WHERE owner = $1 AND name = $2"""
_LIST = """
    SELECT id, owner, name, snapshot, created_at FROM gateway.projects
    WHERE owner = $1 AND name > $2 ORDER BY name LIMIT $3"""
_SNAPSHOT = """
    UPDATE gateway.projects SET snapshot = $2 WHERE id = $1 AND snapshot IS DISTINCT FROM $2"""
_KEPT = 10_000


class PostgresProjects:
    """The owners' projects; that one exists is remembered, since projects stay."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: Recent[tuple[str, str], bool] = Recent(_KEPT)

    async def create(self, owner: str, name: str) -> tuple[Project, bool]:
        """The project, and whether it is new."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_CREATE, new_id("prj"), owner, name)
        return (_project(row), True) if row else (await self.find(owner, name), False)

    async def find(self, owner: str, name: str) -> Project:
        """The project. Raises ProjectMissing."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_FIND, owner, name)
        if row is None:
            raise ProjectMissing("there is no such project")
        self._known.put((owner, name), value=True)
        return _project(row)

    async def require(self, owner: str, name: str) -> None:
        """Pass if the project exists. Raises ProjectMissing."""
        if not self._known.get((owner, name)):
            await self.find(owner, name)

    async def list(self, owner: str, *, after: str, limit: int) -> list[Project]:
        """Projects in order of name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LIST, owner, after, limit)
        return [_project(row) for row in rows]

    async def set_snapshot(self, project: Project, snapshot: str) -> None:
        """Note the newest source."""
        async with self._database.connection() as connection:
            await connection.execute(_SNAPSHOT, project.id, snapshot)


def _project(row: asyncpg.Record) -> Project:
    return Project(row["id"], row["owner"], row["name"], row["snapshot"], row["created_at"])
