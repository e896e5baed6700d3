"""`cynthus version`."""

import platform
from typing import Any

import click

from cynthus.cli import options
from cynthus.cli.failure import Failure
from cynthus.cli.session import Session
from cynthus.cli.version import VERSION


@click.command()
@options.output
def version(session: Session) -> None:
    """Versions of the command, of Python, and of the platform when it answers."""
    found: dict[str, Any] = {"cynthus": VERSION, "python": platform.python_version()}
    try:
        found["platform"] = _of_platform(session.api("never", patience_s=0).status())
    except Failure:
        found["platform"] = None
    if session.json:
        session.print_json(found)
    else:
        session.print(
            f"cynthus {VERSION}  Python {found['python']}  platform {found['platform'] or 'not running'}"
        )


def _of_platform(status: dict[str, Any]) -> Any:
    return (status.get("services") or {}).get("gateway", {}).get("version")
