"""What was packed before and where it is, in PostgreSQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cynthus.builder.domain.image import Layer
from cynthus.store.database import Database

_FIND_LAYERS = """
    WITH touched AS (
        UPDATE builder.layers SET made_at = clock_timestamp()
        WHERE key = ANY($1) AND made_at < clock_timestamp() - interval '1 day'
    )
    SELECT key, layer FROM builder.layers WHERE key = ANY($1)
"""
"""What is asked for counts as new, once a day: it is not collected."""
_KEEP_LAYER = """
    INSERT INTO builder.layers (key, layer) VALUES ($1, $2)
    ON CONFLICT (key) DO UPDATE SET layer = excluded.layer, made_at = clock_timestamp()
"""
_FORGET_LAYERS = "DELETE FROM builder.layers WHERE layer->>'digest' = ANY($1)"
_BASE_LAYER = """
    SELECT layer FROM builder.known, jsonb_array_elements(document->'layers') AS layer
    WHERE kind = 'base' AND layer->>'diff_id' = $1 LIMIT 1
"""
_PLACED = "SELECT digest FROM builder.placements WHERE repository = $1 AND digest = ANY($2)"
_PLACE = """
    INSERT INTO builder.placements (repository, digest) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING
"""
_DISPLACE = "DELETE FROM builder.placements WHERE repository = $1 AND digest = ANY($2)"
_DISPLACE_ALL = "DELETE FROM builder.placements WHERE repository = $1"
_KNOWN = "SELECT document FROM builder.known WHERE kind = $1 AND key = $2"
_LEARN = """
    INSERT INTO builder.known (kind, key, document) VALUES ($1, $2, $3)
    ON CONFLICT (kind, key) DO UPDATE SET document = excluded.document, noted_at = clock_timestamp()
"""


class PostgresIndex:
    """The Index port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def layers(self, keys: Collection[str]) -> Mapping[str, Layer]:
        """Layers packed earlier, by key."""
        if not keys:
            return {}
        async with self._database.connection() as connection:
            rows = await connection.fetch(_FIND_LAYERS, list(keys))
        return {row["key"]: Layer(**row["layer"]) for row in rows}

    async def keep_layer(self, key: str, layer: Layer) -> None:
        """Remember a layer that is in its repository."""
        async with self._database.connection() as connection:
            await connection.execute(_KEEP_LAYER, key, asdict(layer))

    async def base_layer(self, diff_id: str) -> Layer | None:
        """The layer of a base image with this content, and the repository that has it."""
        async with self._database.connection() as connection:
            found = await connection.fetchval(_BASE_LAYER, diff_id)
        return None if found is None else Layer(**found)

    async def forget_layers(self, digests: Collection[str]) -> None:
        """These are in no repository after all."""
        async with self._database.connection() as connection:
            await connection.execute(_FORGET_LAYERS, list(digests))

    async def placed(self, repository: str, digests: Collection[str]) -> frozenset[str]:
        """Which of them the repository has, as far as is known here."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_PLACED, repository, list(digests))
        return frozenset(row["digest"] for row in rows)

    async def place(self, repository: str, digests: Sequence[str]) -> None:
        """The repository has them."""
        async with self._database.connection() as connection:
            await connection.execute(_PLACE, repository, list(digests))

    async def displace(self, repository: str, digests: Collection[str]) -> None:
        """The repository has not got them."""
        async with self._database.connection() as connection:
            await connection.execute(_DISPLACE, repository, list(digests))

    async def displace_all(self, repository: str) -> None:
        """What is believed of the repository was wrong."""
        async with self._database.connection() as connection:
            await connection.execute(_DISPLACE_ALL, repository)

    async def known(self, kind: str, key: str) -> Any | None:
        """An answer that was found before."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_KNOWN, kind, key)

    async def learn(self, kind: str, key: str, document: Any) -> None:
        """Keep an answer."""
        async with self._database.connection() as connection:
            await connection.execute(_LEARN, kind, key, document)
