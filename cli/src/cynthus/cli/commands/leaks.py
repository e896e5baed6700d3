"""`cynthus leaks`."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from cynthus.cli import exits, options, units
from cynthus.cli.session import Session
from cynthus.cli.table import columns
from cynthus.cli.terminal import Terminal

_HEAD = ("MACHINE", "ZONE", "LEFT FOR", "SINCE", "REASON")
_FRESH_S = 10.0


@click.command()
@options.output
def leaks(session: Session) -> int:
    """Machines that are there and needed by nobody; exit code 1 when there is one.

    Told by the provider's own list of machines, not by what Cynthus believes.
    """
    told = session.api().leaks()
    if session.json:
        session.print_json(told)
    elif session.quiet:
        for leak in told["leaks"]:
            session.print(leak["machine"])
    else:
        for line in _lines(told, session.screen, datetime.now(UTC)):
            session.print(line)
    return exits.UNEXPECTED if told["leaks"] else exits.OK


def _lines(told: Mapping[str, Any], screen: Terminal, now: datetime) -> Iterator[str]:
    left, machines = told["leaks"], int(told["machines"])
    if left:
        yield from columns(_HEAD, [_row(leak) for leak in left])
        yield ""
        yield f"{_count(len(left))} left behind, of {_count(machines)} at the provider{_asked(told, now)}"
        yield f"  {screen.dim('fix  ')} nothing at first: the provisioner goes on deleting what nobody needs"
        yield "        if it grows older: cynthus doctor, then delete it at the provider, by its name"
        return
    needed = {0: "there is none", 1: "1 machine, needed"}.get(machines, f"{machines} machines, all needed")
    yield f"no machine is left behind; {needed}{_asked(told, now)}"


def _count(machines: int) -> str:
    return f"{machines} machine{'' if machines == 1 else 's'}"


def _asked(told: Mapping[str, Any], now: datetime) -> str:
    """An answer from an earlier look says so."""
    age_s = (now - units.parse_time(str(told["checked_at"]))).total_seconds()
    if age_s < _FRESH_S:
        return ""
    return f"   (as the provider said {units.duration(age_s)} ago; it does not answer now)"


def _row(leak: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(leak["machine"]),
        str(leak["zone"]),
        units.duration(float(leak["age_s"])),
        str(leak["since"]),
        str(leak["reason"]),
    )
