"""The images there are, in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from asyncpg import Record

from cynthus.builder.assembly.documents import described
from cynthus.builder.domain.bill_of_materials import Component
from cynthus.builder.domain.image import Layer
from cynthus.builder.ports import ImageAmbiguous, ImageEntry, ImageMissing, ImageRecord
from cynthus.store.database import Database

_COLUMNS = "owner, digest, project, repository, environment, entry, built_at"
_INTEND = """
    INSERT INTO builder.catalogue (owner, digest, project, repository, entry) VALUES ($1, $2, $3, $4, '{}')
    ON CONFLICT (owner, digest) DO UPDATE SET used_at = clock_timestamp()
"""
_TOUCH = """
    UPDATE builder.catalogue SET used_at = clock_timestamp() WHERE repository = $1 AND environment = $2
"""
_KEEP = """
    UPDATE builder.catalogue SET entry = $3, environment = $4, used_at = clock_timestamp()
    WHERE owner = $1 AND digest = $2
"""
_LIST = f"""
    SELECT {_COLUMNS} FROM builder.catalogue
    WHERE owner = $1 AND ($2::text IS NULL OR project = $2) AND entry <> '{{}}'
      AND ($3::timestamptz IS NULL OR (built_at, digest) < ($3, $4))
    ORDER BY built_at DESC, digest DESC LIMIT $5
"""  # noqa: S608 - the columns are a constant
_FIND = f"""
    SELECT {_COLUMNS} FROM builder.catalogue
    WHERE owner = $1 AND digest >= $2 AND digest < $3 AND entry <> '{{}}' LIMIT 2
"""  # noqa: S608 - the columns are a constant
_UNATTACHED = f"""
    SELECT {_COLUMNS} FROM builder.catalogue WHERE NOT attached AND entry <> '{{}}' ORDER BY built_at LIMIT $1
"""  # noqa: S608 - the columns are a constant
_ATTACHED = "UPDATE builder.catalogue SET attached = true WHERE owner = $1 AND digest = $2"


class PostgresCatalogue:
    """The ImageCatalogue and Records ports. `host` is the registry's, as references name it."""

    def __init__(self, database: Database, host: str | None) -> None:
        self._database = database
        self._host = host

    async def intend(self, owner: str, project: str, repository: str, digest: str) -> None:
        """This image is about to be pushed, or used again."""
        async with self._database.connection() as connection:
            await connection.execute(_INTEND, owner, digest, project, repository)

    async def touch(self, repository: str, environment: str) -> None:
        """This environment is used again."""
        async with self._database.connection() as connection:
            await connection.execute(_TOUCH, repository, environment)

    async def keep(self, record: ImageRecord) -> None:
        """This image is in the registry."""
        document = {
            "entry": _written(record.entry),
            "manifest_size": record.manifest_size,
            "source": record.source,
            "lock": record.lock,
            "components": [asdict(component) for component in record.components],
            "parameters": dict(record.parameters),
        }
        async with self._database.connection() as connection:
            await connection.execute(_KEEP, record.owner, record.entry.digest, document, record.environment)

    async def list(
        self, owner: str, project: str | None, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ImageEntry]:
        """Newest first."""
        moment, digest = after or (None, None)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LIST, owner, project, moment, digest, limit)
        return [self._record(row).entry for row in rows]

    async def find(self, owner: str, digest_prefix: str) -> ImageEntry:
        """The image whose digest begins like this. Raises ImageMissing, ImageAmbiguous."""
        return (await self._one(owner, digest_prefix)).entry

    async def document(self, owner: str, digest: str, kind: Literal["sbom", "provenance"]) -> bytes:
        """What is in an image, or how it came to be."""
        return described(await self._one(owner, digest), kind)

    async def unattached(self, limit: int = 20) -> Sequence[ImageRecord]:
        """Images whose documents are not in the registry yet."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_UNATTACHED, limit)
        return [self._record(row) for row in rows]

    async def attached(self, owner: str, digest: str) -> None:
        """The documents are beside the image."""
        async with self._database.connection() as connection:
            await connection.execute(_ATTACHED, owner, digest)

    async def _one(self, owner: str, prefix: str) -> ImageRecord:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_FIND, owner, prefix, prefix + "g")
        if not rows:
            raise ImageMissing(prefix)
        if len(rows) > 1:
            raise ImageAmbiguous(prefix)
        return self._record(rows[0])

    def _record(self, row: Record) -> ImageRecord:
        document = row["entry"]
        return ImageRecord(
            owner=row["owner"],
            entry=self._entry(document["entry"], row["built_at"]),
            manifest_size=document["manifest_size"],
            environment=row["environment"],
            source=document["source"],
            lock=document["lock"],
            components=tuple(Component(**one) for one in document["components"]),
            parameters=document["parameters"],
        )

    def _entry(self, values: dict[str, Any], built_at: datetime) -> ImageEntry:
        reference = f"{self._host}/{values['repository']}@{values['digest']}" if self._host else None
        return ImageEntry(
            **{
                **values,
                "reference": reference,
                "created_at": built_at.astimezone(UTC),
                "command": tuple(values["command"]),
                "layers": tuple(Layer(**layer) for layer in values["layers"]),
                "notes": tuple(values["notes"]),
            }
        )


def _written(entry: ImageEntry) -> dict[str, Any]:
    values = asdict(entry)
    del values["created_at"], values["reference"]
    return values
