"""The end of a run: its state, its outputs, what to do next."""

import time
from pathlib import Path
from typing import Any

from cynthus.cli import units
from cynthus.cli.client.api import Api
from cynthus.cli.client.resources import Run
from cynthus.cli.reporter import Reporter
from cynthus.cli.transfer.download import Fetched, download
from cynthus.cli.transfer.progress import Progress

_EVIDENCE_LINES = 20


def fetch(
    api: Api, run: Run, folder: Path, reporter: Reporter, *, include: tuple[str, ...] = ()
) -> Fetched | None:
    """Bring a run's outputs into a folder; None when it has none."""
    outputs = api.outputs(run["id"])
    if not outputs["manifest"] or not outputs["files"]:
        return None
    progress = Progress()
    fetched = download(
        api,
        outputs["manifest"],
        folder,
        include=include,
        progress=progress,
        tick=lambda: reporter.doing("fetching", progress.text),
    )
    for name in fetched.kept:
        reporter.warn(f"a file of yours was in the way; it is now {name}")
    for name in fetched.left_out:
        reporter.warn(f"{name} was not fetched")
    return fetched


def outputs_folder(run: Run) -> Path:
    """Where a run's outputs go unless told otherwise."""
    return Path("outputs") / run["name"]


def report_end(run: Run, reporter: Reporter, *, fetched: Fetched | None, folder: Path) -> None:
    """State, duration, outputs, cause and fix, next commands."""
    parts = [f"in {units.duration(seconds_of(run))}"]
    if fetched is not None:
        count = fetched.files + fetched.already
        shown = folder if folder.is_absolute() else f"./{folder}"
        parts.append(f"{units.files(count)} -> {shown}")
        if fetched.already:
            parts.append(f"{fetched.already} were there already")
    text = " · ".join(parts)
    name = run["name"]
    if run["state"] == "SUCCEEDED":
        reporter.done("succeeded", text)
        reporter.note(f"next: cynthus show {name} · cynthus rerun {name}")
        return
    reporter.failed(run["state"].lower(), text)
    cause = run.get("cause") or {}
    if cause:
        reporter.row("why", f"{cause.get('message')} [{cause.get('code')}]")
        for line in _unseen(cause):
            reporter.row("", line)
    if cause.get("fix"):
        reporter.row("fix", str(cause["fix"]))
    reporter.note(f"next: cynthus show {name} · cynthus logs {name} · cynthus rerun {name}")


def _unseen(cause: dict[str, Any]) -> list[str]:
    """Evidence that was not on the screen yet: a program's own last words were streamed before."""
    if cause.get("exit_code") is not None or cause.get("signal") is not None:
        return []
    return [str(line) for line in cause.get("evidence") or ()][-_EVIDENCE_LINES:]


def seconds_of(run: Run) -> float:
    """How long a run took, or has taken up to now."""
    began = run.get("started_at") or run["created_at"]
    ended = run.get("ended_at")
    assert began is not None
    until = units.parse_time(ended).timestamp() if ended else time.time()
    return max(0.0, until - units.parse_time(began).timestamp())
