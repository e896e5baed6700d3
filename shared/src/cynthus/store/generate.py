"""Writes the next migration of a service: `python -m cynthus.store.generate URL SERVICE MESSAGE`."""

import argparse
import asyncio
import re
from importlib import import_module
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData

from cynthus.store.migrations import head, migrations_of
from cynthus.store.upgrades import options, run, upgrade

_FILE = '''"""{message}."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "{revision}"
down_revision = {previous}


def upgrade():
    {up}


def downgrade():
    {down}
'''


async def generate(url: str, service: str, message: str) -> Path:
    """Compare tables.py with the database at `url`, which is brought to head first; gives the new file."""
    metadata: MetaData = import_module(f"cynthus.{service}.tables").metadata
    previous = head(service)
    revision = f"{int(previous) + 1:04d}"
    slug = re.sub(r"\W+", "_", message.lower()).strip("_")
    path = migrations_of(service) / "versions" / f"{revision}_{slug}.py"

    def write(config: Config) -> None:
        context = MigrationContext.configure(
            connection=config.attributes["connection"], opts=options(metadata)
        )
        script = produce_migrations(context, metadata)
        if script.upgrade_ops is None or script.downgrade_ops is None:
            raise LookupError(f"nothing was compared for {service}")
        text = _FILE.format(
            message=message.capitalize(),
            revision=revision,
            previous=None if previous == "0000" else f'"{previous}"',
            up=render_python_code(script.upgrade_ops, migration_context=context),
            down=render_python_code(script.downgrade_ops, migration_context=context),
        )
        path.write_text(text)

    if previous != "0000":
        await upgrade(url, service)
    await run(url, service, write)
    return path


def main() -> None:
    """Write the file and say where it is."""
    parser = argparse.ArgumentParser(description="write the next migration of a service")
    parser.add_argument("url", help="a PostgreSQL database that may be changed")
    parser.add_argument("service")
    parser.add_argument("message")
    asked = parser.parse_args()
    print(asyncio.run(generate(asked.url, asked.service, asked.message)))  # noqa: T201 - its answer


if __name__ == "__main__":
    main()
