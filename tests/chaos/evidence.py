"""What is left at the end: every table, every object, every process."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import asyncpg

from cynthus.blobs.layout import key_of
from tests.chaos.journal import Journal
from tests.chaos.processes import below, state_of
from tests.chaos.settings import SERVICES

_TABLES = """
    SELECT table_schema, table_name FROM information_schema.tables
    WHERE table_schema = ANY($1::text[]) AND table_type = 'BASE TABLE' ORDER BY 1, 2
"""
_PIECE = 1024 * 1024


async def dump(url: str, folder: Path) -> int:
    """Every row of every table as `<schema>.<table>.jsonl`; how many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for schema, table in await connection.fetch(_TABLES, list(SERVICES)):
                count += await dump_table(connection, schema, table, folder)
    finally:
        await connection.close()
    return count


async def dump_table(connection: Any, schema: str, table: str, folder: Path) -> int:
    """One table, inside a transaction of the caller's; how many rows."""
    count = 0
    with (folder / f"{schema}.{table}.jsonl").open("w") as file:
        async for (row,) in connection.cursor(f'SELECT to_jsonb(t)::text FROM "{schema}"."{table}" AS t'):
            file.write(row + "\n")
            count += 1
    return count


def list_blobs(root: Path, journal: Journal) -> int:
    """The object store as it is on disk."""
    count = 0
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        sha256, size = _hashed(path)
        journal.write("blobs", t=time.time(), key=key_of(root, path), size=size, sha256=sha256)
        count += 1
    return count


def list_processes(folder: Path, mark: str, journal: Journal) -> list[dict[str, Any]]:
    """Workers and users' programs that are still there."""
    left: list[dict[str, Any]] = []
    for one in below(folder, mark):
        is_ours = one.machine is not None or one.run is not None
        if is_ours and state_of(one.pid) not in {"", "Z"}:
            row = {"t": time.time(), "pid": one.pid, "command": " ".join(one.command)[:500]}
            row |= {"machine": one.machine} if one.machine else {}
            row |= {"run": one.run} if one.run else {}
            left.append(row)
            journal.write("processes", **row)
    (folder / "processes.jsonl").touch()
    return left


def read_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """A dumped table."""
    path = folder / "sql" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _hashed(path: Path) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hasher.update(piece)
            size += len(piece)
    return hasher.hexdigest(), size
