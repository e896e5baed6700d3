"""`cynthus ps`."""

from datetime import UTC, datetime

import click

from cynthus.cli import options, units
from cynthus.cli.client.resources import OVER, Run
from cynthus.cli.session import Session
from cynthus.cli.table import columns

_HEAD = ("NAME", "ID", "STATE", "PROJECT", "CREATED", "TOOK", "REASON")
_STATES = (
    "QUEUED BUILDING PROVISIONING STARTING RUNNING UPLOADING TERMINATING RETRYING SUCCEEDED FAILED CANCELLED"
)


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="All runs, not the newest alone.")
@click.option("-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option(
    "--state",
    type=click.Choice(_STATES.split(), case_sensitive=False),
    metavar="STATE",
    help="In this state alone.",
)
@click.option("--project", metavar="NAME", help="Of this project alone.")
@click.option("--label", metavar="KEY=VALUE", help="With this label alone.")
@options.output
def ps(
    session: Session,
    *,
    everything: bool,
    limit: int,
    state: str | None,
    project: str | None,
    label: str | None,
) -> None:
    """List runs, newest first."""
    filters = {"state": state, "project": project, "label": label.replace("=", ":", 1) if label else None}
    given = {name: value for name, value in filters.items() if value}
    runs = list(session.api().runs(limit=10**9 if everything else limit, **given))
    if session.json:
        for run in runs:
            session.print_json(run)
    elif session.quiet:
        for run in runs:
            session.print(run["id"])
    elif not runs:
        session.print("no runs   (cynthus run train.py starts one)")
    else:
        now = datetime.now(UTC)
        for line in columns(_HEAD, [_row(run, now) for run in runs]):
            session.print(line)


def _row(run: Run, now: datetime) -> tuple[str, ...]:
    cause = run.get("cause") or {}
    return (
        run["name"],
        run["id"],
        run["state"],
        run["project"],
        units.ago(run["created_at"], now),
        _took(run, now),
        str(cause.get("code") or run.get("reason") or _again(run)),
    )


def _again(run: Run) -> str:
    """That it is not the first attempt, and why."""
    tried = [attempt for attempt in run.get("attempts") or () if attempt.get("cause")]
    if not tried:
        return ""
    codes = [str((attempt["cause"] or {}).get("code")) for attempt in tried]
    return f"attempt {run.get('epoch')} after {', '.join(codes)}"


def _took(run: Run, now: datetime) -> str:
    began, ended = run.get("started_at"), run.get("ended_at")
    if began is None:
        return "-"
    until = units.parse_time(ended) if ended else now
    seconds = (until - units.parse_time(began)).total_seconds()
    return units.duration(max(0.0, seconds)) + ("" if run["state"] in OVER else "…")
