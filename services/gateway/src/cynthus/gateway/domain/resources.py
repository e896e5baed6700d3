"""A run as the API shows it before its history has taken it over."""

from datetime import UTC, datetime
from typing import Any

from cynthus.events import RunRequested

FINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


def queued_run(requested: RunRequested, created_at: datetime) -> dict[str, Any]:
    """The Run resource of a run that was accepted and nothing else."""
    return {
        "id": requested.run_id,
        "name": requested.name,
        "project": requested.project,
        "state": "QUEUED",
        "reason": None,
        "created_at": timestamp(created_at),
        "started_at": None,
        "ended_at": None,
        "epoch": 0,
        "labels": requested.labels,
        "spec": requested.spec.model_dump(mode="json"),
        "image": None,
        "cause": None,
        "attempts": [],
        "outputs": None,
        "timeline": {},
        "rerun_of": requested.rerun_of,
        "version": 1,
    }


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
