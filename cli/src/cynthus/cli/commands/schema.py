"""`cynthus schema`."""

import sys

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of cynthus.toml, for editors."""
    from cynthus.spec import schema_text

    sys.stdout.write(schema_text())
