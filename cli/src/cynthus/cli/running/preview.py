"""The plan of a run: made here to be shown, and made again by the builder, with authority."""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cynthus.cli import exits, units
from cynthus.cli.failure import Failure
from cynthus.cli.running.data import Data, parse
from cynthus.cli.running.pack import Scanned, scan
from cynthus.cli.running.place import Place, locate, project_name
from cynthus.cli.running.settings import ProjectSettings, read_settings
from cynthus.cli.running.wish import Wish
from cynthus.cli.source import report
from cynthus.planning import CannotPlan, FolderTree, Plan, PlanRequest, describe, plan
from cynthus.planning.secret_files import SecretFound, secrets_in

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything known before anything is sent."""

    wish: Wish
    place: Place
    settings: ProjectSettings
    data: list[Data]
    scanned: Scanned
    plan: Plan
    leaks: tuple[SecretFound, ...] = ()

    @property
    def project(self) -> str:
        """The project's name: declared, else the folder's."""
        declared = self.settings.declared
        return (declared.name if declared else None) or project_name(self.place.root)


def preview(wish: Wish, here: Path) -> Preview:
    """Look, plan, and refuse what cannot run. Raises Failure."""
    place = locate(wish.target, here)
    settings = read_settings(place.root)
    data = _data(wish, place, settings, here)
    scanned = scan(place.root, settings.ignore, data)
    tree = FolderTree(place.root, scanned.source.paths())
    try:
        made = plan(tree, _request(wish, place, settings))
    except CannotPlan as refused:
        raise _cannot(refused) from refused
    return Preview(wish, place, settings, data, scanned, made, secrets_in(tree))


def rows(view: Preview, where: str, *, full: bool = False) -> Iterator[tuple[str, str]]:
    """(label, text) of the plan; an empty label continues the row above."""
    yield from _joined(describe(view.plan))
    for data, found in view.scanned.data:
        size = f"{found.count} {units.size(found.size)}"
        yield "data", f"{data.source} {size} -> ./{data.mount} (read-only)"
    for data in view.data:
        if data.one_file:
            size = units.size(data.path.stat().st_size)
            yield "data", f"{data.source} {size} -> ./{data.mount} (sent with the source)"
    if full:
        yield "source", report.sent(view.scanned.source)
    yield from report.rows(view.scanned.source, full=full)
    for note in view.settings.notes:
        yield "note", note
    yield "place", where


def warnings(view: Preview) -> Iterator[str]:
    """What may surprise: secrets that would be sent first."""
    for found in view.leaks[:_SHOWN]:
        yield str(found)
    if len(view.leaks) > _SHOWN:
        yield f"{len(view.leaks) - _SHOWN} more secrets in other files"
    yield from report.warnings(view.scanned.source)
    for _, data in view.scanned.data:
        yield from report.warnings(data)


def as_json(view: Preview) -> dict[str, Any]:
    """The same for machines."""
    return {
        "project": view.project,
        "plan": asdict(view.plan),
        "secrets_found": [asdict(found) for found in view.leaks],
        "source": report.as_json(view.scanned.source),
        "data": [
            {"source": data.source, "mount": data.mount, **report.as_json(found)}
            for data, found in view.scanned.data
        ],
    }


def _data(wish: Wish, place: Place, settings: ProjectSettings, here: Path) -> list[Data]:
    given = parse(wish.data, root=place.root, here=here)
    mounts = {one.mount for one in given}
    declared = parse(settings.data, root=place.root, here=place.root)
    return [*given, *(one for one in declared if one.mount not in mounts)]


def _request(wish: Wish, place: Place, settings: ProjectSettings) -> PlanRequest:
    return PlanRequest(
        entry=f"-m {wish.module}" if wish.module else place.entry,
        args=wish.arguments,
        task=wish.task,
        declared=settings.declared,
        default_python=f"{sys.version_info.major}.{sys.version_info.minor}",
        env=wish.env,
        timeout=None if wish.timeout is None else max(1, round(wish.timeout)),
        attempts=None if wish.retries is None else wish.retries + 1,
        gpu=wish.gpu,
        runtime=wish.runtime,
    )


def secrets_of(view: Preview) -> dict[str, str]:
    """Values for every secret that is named: given, else from our environment. Raises Failure."""
    values = dict(view.wish.secrets)
    needs = dict.fromkeys(view.plan.secrets, "the task")
    needs |= {index.secret: f"the index {index.name}" for index in view.plan.indexes if index.secret}
    for name, who in needs.items():
        if name in values:
            continue
        if name not in os.environ:
            raise Failure(
                code="secret_missing",
                what=f"{who} needs the secret {name}",
                why="it was given neither with --secret-file nor in the environment",
                fix=f"cynthus run --secret-file {name}=PATH …",
                exit_code=exits.USAGE,
            )
        values[name] = os.environ[name]
    return values


def _joined(described: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Rows of one label as one text of several lines."""
    label, lines = "", list[str]()
    for its_label, text in described:
        if its_label and lines:
            yield label, "\n".join(lines)
            lines = []
        label = its_label or label
        lines.append(text)
    if lines:
        yield label, "\n".join(lines)


def _cannot(refused: CannotPlan) -> Failure:
    why = "\n".join([refused.why, *refused.candidates]) if refused.candidates else refused.why
    return Failure(
        code=refused.code,
        what=refused.what if refused.where is None else f"{refused.where}: {refused.what}",
        why=why,
        fix=refused.fix,
        exit_code=exits.SPEC_INVALID,
    )
