"""`cynthus destroy`."""

import click

from cynthus.cli import exits, options
from cynthus.cli.client.api import Api
from cynthus.cli.client.resources import OVER, Run
from cynthus.cli.failure import Failure
from cynthus.cli.session import Session


@click.command()
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="Every run that is over.")
@click.option("--include-results", is_flag=True, help="Also the outputs on the platform.")
@options.yes
@options.output
def destroy(session: Session, *, run: str | None, everything: bool, include_results: bool, yes: bool) -> None:
    """Remove RUN (or every run that is over): says what goes and what stays, and asks."""
    if (run is None) is not everything:
        raise click.UsageError("name a RUN, or give --all")
    api = session.api()
    doomed = _doomed(api, run)
    if not doomed:
        session.reporter.note("no run is over; nothing to remove")
        return
    _announce(session, doomed, results=include_results)
    session.confirm(f"remove {len(doomed)} run{'' if len(doomed) == 1 else 's'}?", yes=yes)
    for one in doomed:
        api.delete_run(one["id"], results=include_results)
        if session.json:
            session.print_json({"id": one["id"], "results": "deleted" if include_results else "kept"})
        else:
            session.print(one["id"] if session.quiet else f"removed {one['name']}  {one['id']}")


def _doomed(api: Api, name: str | None) -> list[Run]:
    if name is None:
        return [run for run in api.runs(limit=10**9) if run["state"] in OVER]
    run = api.run(name)
    if run["state"] not in OVER:
        raise Failure(
            code="run_is_not_over",
            what=f"{run['name']} is {run['state']}",
            fix=f"cynthus cancel {run['name']}, then cynthus destroy {run['name']}",
            exit_code=exits.CONFLICT,
        )
    return [run]


def _announce(session: Session, doomed: list[Run], *, results: bool) -> None:
    names = [run["name"] for run in doomed]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")  # noqa: PLR2004
    goes = "record, log and outputs on the platform" if results else "record and log"
    stays = "everything on this machine" + ("" if results else ", and the outputs on the platform")
    session.reporter.row("goes", f"{goes} of {shown}")
    session.reporter.row("stays", stays)
