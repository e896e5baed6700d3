"""`cynthus admin`."""

from typing import Any

import click

from cynthus.cli import options
from cynthus.cli.session import Session
from cynthus.cli.table import columns

_HEAD = ("SERVICE", "EVENT", "TYPE", "ATTEMPTS", "PARKED", "REASON")


@click.group()
def admin() -> None:
    """For those who run a platform."""


@admin.group()
def parked() -> None:
    """Messages that a service gave up on after several tries."""


@parked.command("ls")
@options.output
def ls(session: Session) -> None:
    """List them, oldest first."""
    found = session.api().parked()["parked"]
    if session.json:
        for one in found:
            session.print_json(one)
    elif not found:
        session.print("no parked messages")
    else:
        for line in columns(_HEAD, [_row(one) for one in found]):
            session.print(line)


@parked.command("show")
@click.argument("service")
@click.argument("event_id")
@options.output
def show(session: Session, *, service: str, event_id: str) -> None:
    """One message, whole, with its error."""
    found = session.api().parked(f"{service}/{event_id}")
    if session.json:
        session.print_json(found)
        return
    for label, value in found.items():
        session.print(f"{session.screen.dim(f'{label:12}')} {value}")


@parked.command("replay")
@click.argument("service")
@click.argument("event_id")
@options.output
def replay(session: Session, *, service: str, event_id: str) -> None:
    """Have a message handled again."""
    answer = session.api().replay_parked(f"{service}/{event_id}")
    if session.json:
        session.print_json(answer)
    elif not session.quiet:
        session.print(f"{event_id} is handled again by {service}")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    reason = str(one.get("reason") or "").splitlines()
    return (
        str(one.get("service") or ""),
        str(one.get("id") or ""),
        str(one.get("type") or ""),
        str(one.get("attempts") or ""),
        str(one.get("parked_at") or ""),
        reason[-1] if reason else "",
    )
