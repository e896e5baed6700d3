"""pyproject.toml: what the project depends on and which Python it wants."""

import re
from dataclasses import dataclass, field
from typing import Any

from cynthus.planning.document import Index, Requirement
from cynthus.planning.indexes import uv_indexes
from cynthus.planning.poetry import poetry_lines
from cynthus.planning.problem import CannotPlan
from cynthus.planning.requirement_line import BadRequirement, read_line
from cynthus.planning.requirements_file import bad_requirements, declared
from cynthus.planning.toml_text import BadTOML, line_of, read_toml
from cynthus.planning.tree import SourceTree


@dataclass(frozen=True, slots=True)
class Pyproject:
    """`requirements` is None when the file declares none (tool settings only, or dynamic)."""

    path: str
    requirements: tuple[Requirement, ...] | None
    requires_python: str | None
    dynamic_files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    extras: dict[str, tuple[Requirement, ...]] = field(default_factory=dict)


def read_pyproject(tree: SourceTree, path: str = "pyproject.toml") -> Pyproject | None:
    """The file's facts, None when it is not there; CannotPlan names the line that is wrong."""
    if path not in tree.paths():
        return None
    text = tree.read(path).decode("utf-8", "replace")
    try:
        document = read_toml(tree.read(path))
    except BadTOML as error:
        where = f"{path}:{error.line}"
        raise CannotPlan(
            "bad_requirements",
            what=f"{where} is not TOML",
            why=error.message,
            fix="correct the line",
            where=where,
        ) from error
    project = _table(document, "project")
    lines = project.get("dependencies")
    tool = _table(document, "tool")
    wants = project.get("requires-python")
    warnings = _warnings(path, tool)
    indexes, left_out = uv_indexes(path, _table(tool, "uv").get("index"))
    if lines is None and (poetry := _table(_table(tool, "poetry"), "dependencies")):
        lines, poetry_python, odd = poetry_lines(poetry)
        wants = wants or poetry_python
        warnings += tuple(
            f"{path}: {name} in [tool.poetry.dependencies] has no index version; left out" for name in odd
        )
    return Pyproject(
        path,
        None if lines is None else _requirements(path, text, lines, "dependencies"),
        wants if isinstance(wants, str) else None,
        _dynamic(project, tool),
        (*warnings, *left_out),
        indexes,
        {
            name: _requirements(path, text, extra, name)
            for name, extra in _table(project, "optional-dependencies").items()
        },
    )


def _requirements(path: str, text: str, lines: Any, key: str) -> tuple[Requirement, ...]:
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise bad_requirements(
            f"{path}:1", key, "it is not a list of strings", f'write {key} = ["name>=1.2"]'
        )
    found = []
    for line in lines:
        where = f"{path}:{line_of(text, line, key)}"
        try:
            found.append(declared(read_line(line), where))
        except BadRequirement as error:
            raise bad_requirements(where, line, error.why, error.fix) from error
    return tuple(found)


def _dynamic(project: dict[str, Any], tool: dict[str, Any]) -> tuple[str, ...]:
    if "dependencies" not in project.get("dynamic", []):
        return ()
    named = _table(_table(_table(tool, "setuptools"), "dynamic"), "dependencies").get("file", [])
    files = [named] if isinstance(named, str) else named
    return tuple(name for name in files if isinstance(name, str))


def _warnings(path: str, tool: dict[str, Any]) -> tuple[str, ...]:
    uv = _table(tool, "uv")
    named = [f"[tool.uv] {key}" for key in ("sources", "index-url", "extra-index-url") if key in uv]
    return tuple(f"{path}: {key} is kept out; packages come from the platform's own index" for key in named)


def _table(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def locked_names(lock: bytes) -> frozenset[str]:
    """The packages a uv.lock holds."""
    return frozenset(match.decode() for match in re.findall(rb'(?m)^name = "([^"\n]+)"', lock))
