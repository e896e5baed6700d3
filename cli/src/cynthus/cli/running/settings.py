"""What cynthus.toml or [tool.cynthus] says, in plain values; without one, nothing is imported to read it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cynthus.cli import exits
from cynthus.cli.failure import Failure
from cynthus.planning import Declared

if TYPE_CHECKING:
    from cynthus.spec import SpecInvalid
    from cynthus.spec.models import Resources, Spec


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a machine."""

    cpu: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """`data` is SOURCE[:MOUNT] each; `resources` by task, "" for the top level; `notes` are for people."""

    declared: Declared | None = None
    ignore: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    resources: tuple[tuple[str, Asked], ...] = ()
    notes: tuple[str, ...] = ()

    def asked(self, task: str | None) -> Asked:
        """Resources of a task, over those of the top level."""
        by_task = dict(self.resources)
        general, own = by_task.get("", Asked()), by_task.get(task or "main", Asked())
        return Asked(own.cpu or general.cpu, own.memory or general.memory)


def read_settings(root: Path) -> ProjectSettings:
    """The settings of the project in a folder. Raises Failure naming file and line."""
    if not (root / "cynthus.toml").exists() and not (root / "pyproject.toml").exists():
        return ProjectSettings()
    from cynthus.spec import SpecInvalid, load_spec

    try:
        found = load_spec(lambda path: _read(root / path))
    except SpecInvalid as invalid:
        raise _invalid(invalid) from invalid
    return ProjectSettings() if found is None else _settings(*found)


def _settings(spec: "Spec", file: str) -> ProjectSettings:
    from cynthus.spec import declared, unsupported

    by_task = [("", spec.resources), *((name, task.resources) for name, task in spec.task.items())]
    return ProjectSettings(
        declared=declared(spec, file),
        ignore=spec.ignore,
        data=tuple(f"{data.source}:{data.mount}" if data.mount else data.source for data in spec.data),
        resources=tuple((name, _asked(table)) for name, table in by_task if table is not None),
        notes=tuple(unsupported(spec)),
    )


def _asked(resources: "Resources") -> Asked:
    from cynthus.spec import count_range, size_range

    cpu = None if resources.cpu is None else count_range(resources.cpu).low
    memory = None if resources.memory is None else int(size_range(resources.memory).low)
    return Asked(cpu, memory)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None


def _invalid(invalid: "SpecInvalid") -> Failure:
    first, *rest = invalid.problems
    return Failure(
        code="spec_invalid",
        what=f"{first.file}:{first.line}: {first.what}",
        why="\n".join(str(problem) for problem in rest) or None,
        fix=first.fix,
        more="cynthus schema   (every key there is)",
        exit_code=exits.SPEC_INVALID,
    )
