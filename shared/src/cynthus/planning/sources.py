"""Where a project states its requirements: the first of the known places that has any."""

from dataclasses import dataclass, field

from cynthus.planning.conda import read_environment
from cynthus.planning.document import Requirement, RequirementsSource
from cynthus.planning.problem import CannotPlan
from cynthus.planning.pyproject import Pyproject, locked_names, read_pyproject
from cynthus.planning.requirement_line import BadRequirement, read_line
from cynthus.planning.requirements_file import LocalProject, bad_requirements, declared, read_requirements
from cynthus.planning.script_header import ScriptHeader
from cynthus.planning.tree import SourceTree

CONDA = ("environment.yml", "environment.yaml")
NOT_READ = ("Pipfile", "setup.py", "setup.cfg")
SHOWN = 6


@dataclass(slots=True)
class Stated:
    """The requirements a project states, before its imports are looked at."""

    source: RequirementsSource = "none"
    requirements: list[Requirement] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)  # folders of local projects
    lock: bytes | None = None
    warnings: list[str] = field(default_factory=list)

    def covered(self) -> frozenset[str]:
        """Normalised names that will be installed for certain."""
        names = frozenset(requirement.name for requirement in self.requirements)
        return names | locked_names(self.lock) if self.lock is not None else names


def stated(
    tree: SourceTree,
    header: ScriptHeader | None,
    pyproject: Pyproject | None,
    chosen: tuple[str, ...],
    chooser: str,
) -> Stated:
    """Files chosen in cynthus.toml, else the script's header, lock and pyproject, requirements.txt."""
    result = Stated()
    paths = frozenset(tree.paths())
    if chosen:
        for path in chosen:
            _from_file(tree, path, f"{chooser} [image] requirements", result)
    elif header is not None and header.requirements is not None:
        result.source = "pep723"
        result.requirements.extend(header.requirements)
    elif pyproject is not None and (pyproject.requirements is not None or _dynamic(pyproject, paths)):
        _from_pyproject(tree, pyproject, result)
    elif "requirements.txt" in paths:
        _from_file(tree, "requirements.txt", "the folder", result)
    else:
        for name in CONDA:
            if name in paths:
                _from_conda(tree, name, result)
        result.warnings.extend(f"{name} is not read by this version" for name in NOT_READ if name in paths)
    if header is not None:
        result.warnings.extend(header.warnings)
    if pyproject is not None and result.source in {"pyproject", "uv.lock"}:
        result.warnings.extend(pyproject.warnings)
    return result


def _dynamic(pyproject: Pyproject, paths: frozenset[str]) -> bool:
    return bool(pyproject.dynamic_files) and all(path in paths for path in pyproject.dynamic_files)


def _from_pyproject(tree: SourceTree, pyproject: Pyproject, result: Stated) -> None:
    paths = frozenset(tree.paths())
    if pyproject.requirements is None:
        for path in pyproject.dynamic_files:
            _from_file(tree, path, pyproject.path, result)
    else:
        result.requirements.extend(pyproject.requirements)
    result.source = "pyproject"
    result.files.append(pyproject.path)
    if "uv.lock" in paths:
        result.source = "uv.lock"
        result.lock = tree.read("uv.lock")
        result.files.append("uv.lock")
    if (
        "requirements.txt" in paths
        and "requirements.txt" not in result.files
        and pyproject.requirements is not None
    ):
        result.warnings.append(f"requirements.txt is not used: {pyproject.path} names the dependencies")


def _from_file(tree: SourceTree, path: str, asked_by: str, result: Stated) -> None:
    if path == "pyproject.toml":
        pyproject = read_pyproject(tree, path)
        if pyproject is not None and pyproject.requirements is not None:
            _from_pyproject(tree, pyproject, result)
            return
    read = read_requirements(tree, path, asked_by)
    result.source = "requirements.txt"
    result.requirements.extend(read.requirements)
    result.constraints.extend(read.constraints)
    result.files.extend(read.files)
    result.warnings.extend(read.warnings)
    for project in read.projects:
        _local_project(tree, project, result)


def _from_conda(tree: SourceTree, path: str, result: Stated) -> None:
    found = read_environment(tree.read(path).decode("utf-8", "replace"))
    for number, text in found.pip:
        where = f"{path}:{number}"
        if text.startswith("-"):
            result.warnings.append(f"{where}: the option {text.split()[0]} is not acted on")
            continue
        try:
            result.requirements.append(declared(read_line(text), where))
        except BadRequirement as error:
            raise bad_requirements(where, text, error.why, error.fix) from error
    if found.pip:
        result.source = "requirements.txt"
        result.files.append(path)
    if found.packages:
        names = ", ".join(found.packages[:SHOWN]) + (" …" if len(found.packages) > SHOWN else "")
        result.warnings.append(
            f"{path}: conda's own packages ({names}) are not installed; what is imported comes from PyPI, "
            "and system packages stand under [image] apt"
        )


def _local_project(tree: SourceTree, project: LocalProject, result: Stated) -> None:
    prefix = f"{project.folder}/" if project.folder else ""
    paths = tree.paths()
    has_src = any(path.startswith(f"{prefix}src/") and path.endswith(".py") for path in paths)
    result.roots.append(f"{prefix}src" if has_src else project.folder)
    pyproject = read_pyproject(tree, f"{prefix}pyproject.toml")
    if pyproject is None:
        result.warnings.append(
            f"{project.where}: {prefix}pyproject.toml is missing; only imports tell what it needs"
        )
        return
    result.files.append(pyproject.path)
    result.requirements.extend(pyproject.requirements or ())
    for extra in project.extras:
        if extra not in pyproject.extras:
            raise CannotPlan(
                "bad_requirements",
                what=f"{project.where} asks for the extra {extra}",
                why=f"{pyproject.path} has no extra of that name",
                fix=f"add it under [project.optional-dependencies], or remove [{extra}]",
                where=project.where,
            )
        result.requirements.extend(pyproject.extras[extra])
