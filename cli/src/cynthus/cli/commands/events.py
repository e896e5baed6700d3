"""`cynthus events`."""

from collections.abc import Iterator
from typing import Any

import click

from cynthus.cli import options
from cynthus.cli.client.api import Api
from cynthus.cli.client.connection import Patience
from cynthus.cli.running.happenings import kind_of, summary
from cynthus.cli.session import Session

_WAIT_S = 20
_PATIENCE_S = 300.0
_ROW = "{version:>4}  {time:<27}  {kind:<22}  {who:<40}  {what}"


@click.command()
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Stay until the run is over.")
@options.output
def events(session: Session, *, run: str, follow: bool) -> None:
    """RUN's history: version, time, what happened, who did it, because of what."""
    found = _events(session.api(), run, follow=follow)
    if session.json or session.quiet:
        for event in found:
            if session.json:
                session.print_json({**event, "kind": kind_of(event), "seq": event["version"]})
            else:
                session.print(kind_of(event))
        return
    session.print(_ROW.format(version="V", time="TIME", kind="WHAT", who="WHO", what="DETAIL").rstrip())
    versions: dict[str, int] = {}
    for event in found:
        if event.get("id"):
            versions[str(event["id"])] = event["version"]
        session.print(_line(event, versions))


def _events(api: Api, run: str, *, follow: bool) -> Iterator[dict[str, Any]]:
    after, over = 0, False
    while not over:
        page = api.events(run, after=after, wait_s=_WAIT_S if follow else 0, patience=Patience(_PATIENCE_S))
        for event in page["events"]:
            after = max(after, int(event["version"]))
            yield event
        over = page["over"] or (not follow and not page["events"])


def _line(event: dict[str, Any], versions: dict[str, int]) -> str:
    who = str(event.get("actor") or "")
    source = str(event.get("source") or "")
    if source and source not in who:
        who = f"{who} at {source}" if who else source
    cause = event.get("causation_id") or event.get("cause")
    because = f"  (because of {versions.get(str(cause), cause)})" if cause else ""
    return _ROW.format(
        version=event["version"],
        time=str(event.get("time") or ""),
        kind=kind_of(event),
        who=who,
        what=summary(event) + because,
    ).rstrip()
