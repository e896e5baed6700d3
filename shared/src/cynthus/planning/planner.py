"""From a folder and a request to a plan. Pure: reads the tree, decides, changes nothing."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

from cynthus.planning.document import Entry, Plan, Requirement
from cynthus.planning.entry_point import Start, find_start
from cynthus.planning.import_check import checkable
from cynthus.planning.imported import from_imports
from cynthus.planning.indexes import joined
from cynthus.planning.names import nearest
from cynthus.planning.problem import CannotPlan
from cynthus.planning.pyproject import Pyproject, read_pyproject
from cynthus.planning.python_version import allows, exact, first_line, fitting
from cynthus.planning.request import FAILURE, Declared, Outputs, PlanRequest, Retry, Task
from cynthus.planning.requirement_line import BadRequirement, read_line
from cynthus.planning.requirements_file import bad_requirements, read_requirements
from cynthus.planning.runtime import DOCKERFILE, chosen, forced, own_dockerfile
from cynthus.planning.scan import Scan, scan
from cynthus.planning.script_header import ScriptHeader, read_header
from cynthus.planning.sources import Stated, stated
from cynthus.planning.tree import BoundedTree, SourceTree

NOTEBOOK_RUNNER = ("papermill", "ipykernel")


def plan(tree: SourceTree, request: PlanRequest) -> Plan:
    """What this folder needs to run; CannotPlan with the fix when that cannot be known."""
    tree = BoundedTree(tree)
    settings = request.declared or Declared()
    task = _task(settings, request.task)
    dockerfile = own_dockerfile(tree, settings, request)
    runtime, why = chosen(settings, request, dockerfile)
    if dockerfile is None:
        made = _in_python(tree, request, settings, task)
    else:
        made = _in_dockerfile(tree, request, settings, task, dockerfile)
    return replace(_with_settings(made, settings, task, request), runtime=runtime, runtime_why=why)


def _in_dockerfile(
    tree: SourceTree, request: PlanRequest, settings: Declared, task: Task | None, path: str
) -> Plan:
    """The project's own image; without an entry or a task it runs its own command."""
    if task is None and request.entry in {None, "", "."}:
        entry, command = Entry(kind="image", target=path, found="its own command"), request.args
    else:
        start = find_start(tree, request, task)
        entry, command = start.entry, start.command
    unused = {
        "python": settings.python,
        "requirements": settings.requirements,
        "apt": settings.apt,
        "base": settings.base,
        "index": settings.indexes,
    }
    return Plan(
        entry=entry,
        command=command,
        python="",
        python_source=path,
        dockerfile=path,
        warnings=tuple(
            f"[image] {key} is not used, as {path} wins; dockerfile = false under [image] leaves it out"
            for key, value in unused.items()
            if value
        ),
    )


def _in_python(tree: SourceTree, request: PlanRequest, settings: Declared, task: Task | None) -> Plan:
    """An image made of Python and packages."""
    start = find_start(tree, request, task)
    header = _header(tree, start)
    pyproject = read_pyproject(tree)
    python, python_source, warnings = _python(tree, request, header, pyproject)
    needs = stated(tree, header, pyproject, settings.requirements, settings.file)
    roots = _roots(tree, start, needs)
    files, lenient = _scanned(tree, start)
    numbers = (3, int(python.partition(".")[2]))
    found, modules = scan(tree, files, roots, numbers)
    needs.requirements.extend(_from_notebooks(tree, found, needs))
    imported = from_imports(
        found,
        modules,
        needs.covered(),
        stated=bool(needs.files) or needs.source == "pep723",
        lenient=lenient,
        entry=start.entry.target,
    )
    requirements = [*needs.requirements, *imported.requirements, *_runner(start, needs)]
    notes = [
        *_unused_dockerfile(tree, settings, request),
        *_lenient_note(files, lenient=lenient),
        *imported.notes,
    ]
    env = {**settings.env, **(task.env if task else {}), **request.env}
    return Plan(
        entry=start.entry,
        command=start.command,
        python=python,
        python_source=python_source,
        requirements=_unique(requirements),
        requirements_source="imports" if needs.source == "none" and requirements else needs.source,
        requirements_files=tuple(dict.fromkeys(needs.files)),
        constraints=tuple(needs.constraints),
        locked=None if needs.lock is None else f"sha256:{hashlib.sha256(needs.lock).hexdigest()}",
        lock_path=None if needs.lock is None else "uv.lock",
        pythonpath=_pythonpath(roots, start),
        modules=() if lenient else checkable(found, modules, env),
        indexes=joined(settings.indexes, pyproject.indexes if pyproject else ()),
        apt=tuple(sorted(set(settings.apt))),
        base=settings.base,
        notes=tuple(dict.fromkeys(notes)),
        warnings=tuple(dict.fromkeys((*warnings, *needs.warnings, *found.warnings, *imported.warnings))),
    )


def _task(settings: Declared, name: str | None) -> Task | None:
    tasks = {task.name: task for task in settings.tasks}
    if name is None or name in tasks:
        return tasks.get(name or "main")
    near = nearest(name, tasks)
    hint = f"did you mean --task {near[0]}?" if near else f"tasks there: {', '.join(tasks) or 'none'}"
    raise CannotPlan(
        "no_such_task",
        what=f"there is no task {name}",
        why=f"{settings.file} has no [task.{name}]",
        fix=hint,
        candidates=near or tuple(tasks),
    )


def _with_settings(made: Plan, settings: Declared, task: Task | None, request: PlanRequest) -> Plan:
    """Adds what the task, its file and the command line set, the last one winning."""
    retry = (task.retry if task else None) or Retry()
    if request.attempts is not None:
        on = retry.on if FAILURE in retry.on or request.attempts == 1 else (*retry.on, FAILURE)
        retry = Retry(attempts=request.attempts, on=on, backoff=retry.backoff)
    outputs = (task.outputs if task else None) or Outputs()
    command = made.command
    if made.entry.kind == "notebook":
        command = (*command[:4], f"{outputs.path}/{PurePosixPath(command[3]).name}", *command[5:])
    settled = replace(
        made,
        command=command,
        env=dict(sorted({**settings.env, **(task.env if task else {}), **request.env}.items())),
        secrets=task.secrets if task else (),
        timeout=request.timeout if request.timeout is not None else (task.timeout if task else None),
        retry=retry,
        outputs=outputs,
        checkpoint=task.checkpoint if task else None,
        task=task.name if task else None,
        import_check=settings.import_check,
        gpu=request.gpu or (task.gpu if task else None) or settings.gpu,
    )
    _check_accelerator(settled)
    return settled


def _check_accelerator(plan: Plan) -> None:
    if plan.gpu is None:
        return
    from cynthus.planning.accelerators.decision import GpuUnsupported, decide
    from cynthus.planning.accelerators.file import cuda_table

    try:
        decide(cuda_table(), [requirement.text for requirement in plan.requirements], plan.gpu)
    except GpuUnsupported as error:
        what = error.message.rstrip(".")
        raise CannotPlan(error.code, what=what, why=f"{plan.gpu} was asked for", fix=error.fix) from error


def _header(tree: SourceTree, start: Start) -> ScriptHeader | None:
    scripts = [path for path in start.files if path.endswith(".py")]
    return read_header(scripts[0], tree.read(scripts[0])) if scripts else None


def _python(
    tree: SourceTree, request: PlanRequest, header: ScriptHeader | None, pyproject: Pyproject | None
) -> tuple[str, str, list[str]]:
    """The version, who asked for it, and warnings about those who asked for another."""
    declared = request.declared
    pinned = first_line(tree.read(".python-version")) if ".python-version" in tree.paths() else None
    rules = [
        (header.requires_python if header else None, "the script's header"),
        (pyproject.requires_python if pyproject else None, "requires-python in pyproject.toml"),
    ]
    if request.python:
        version, source = exact(request.python, "--python"), "--python"
    elif declared is not None and declared.python:
        version, source = exact(declared.python, declared.file), declared.file
    elif pinned:
        version, source = exact(pinned, ".python-version"), ".python-version"
    else:
        rule, source = next(((rule, where) for rule, where in rules if rule), (None, "default"))
        version = fitting(rule, source, request.default_python) if rule else request.default_python
    clashes = [
        f"Python {version} ({source}) does not fit {where}: {rule}"
        for rule, where in rules
        if rule and not allows(rule, version, where)
    ]
    return version, source, clashes


def _roots(tree: SourceTree, start: Start, needs: Stated) -> tuple[str, ...]:
    """Folders on the import path, the script's own first."""
    folders = [_folder(path) for path in start.files]
    has_src = any(path.startswith("src/") and path.endswith(".py") for path in tree.paths())
    own = folders if start.entry.kind != "module" else []
    return tuple(dict.fromkeys((*own, "", *(("src",) if has_src else ()), *needs.roots)))


def _pythonpath(roots: Iterable[str], start: Start) -> tuple[str, ...]:
    """What Python would not put on the path by itself."""
    if start.entry.kind == "script":
        return tuple(root for root in roots if root != _folder(start.files[0]))
    return tuple(roots)


def _folder(path: str) -> str:
    parent = PurePosixPath(path).parent.as_posix()
    return "" if parent == "." else parent


def _scanned(tree: SourceTree, start: Start) -> tuple[tuple[str, ...], bool]:
    """Where the scan begins; all Python files, leniently, when the command hides what it runs."""
    code = tuple(path for path in start.files if path.endswith((".py", ".ipynb")))
    if code or (start.entry.kind == "module" and not start.files):
        return code or start.files, False
    if any(path.endswith((".py", ".ipynb")) for path in start.files):
        return code, False
    if start.entry.kind == "script":
        return start.files, False
    return tuple(path for path in tree.paths() if path.endswith(".py")), True


def _unused_dockerfile(tree: SourceTree, settings: Declared, request: PlanRequest) -> list[str]:
    runtime, asked = forced(settings, request)
    if DOCKERFILE not in tree.paths() or not settings.find_dockerfile or runtime != "process":
        return []
    return [f"{DOCKERFILE} is not used: {asked} was asked for"]


def _lenient_note(files: tuple[str, ...], *, lenient: bool) -> list[str]:
    if not lenient or not files:
        return []
    return [f"the command names no Python file; packages are guessed from all {len(files)} .py files"]


def _from_notebooks(tree: SourceTree, found: Scan, needs: Stated) -> list[Requirement]:
    """Lines of `%pip install`, which run before anything else does."""
    lines: list[Requirement] = []
    for path, install in found.installs:
        where = f"{path}:cell {install.cell}:{install.line}"
        if install.is_file:
            if install.text in tree.paths() and install.text not in needs.files:
                read = read_requirements(tree, install.text, where)
                lines.extend(read.requirements)
                needs.files.extend(read.files)
            continue
        try:
            line = read_line(install.text)
        except BadRequirement as error:
            raise bad_requirements(where, install.text, error.why, error.fix) from error
        lines.append(
            Requirement(text=line.text, name=line.name, why="the notebook installs it", source=where)
        )
    return lines


def _runner(start: Start, needs: Stated) -> list[Requirement]:
    if start.entry.kind != "notebook":
        return []
    return [
        Requirement(text=name, name=name, why="runs the notebook", source=start.entry.target)
        for name in NOTEBOOK_RUNNER
        if name not in needs.covered()
    ]


def _unique(requirements: list[Requirement]) -> tuple[Requirement, ...]:
    """Without lines that say the same thing twice."""
    first: dict[str, Requirement] = {}
    for requirement in requirements:
        first.setdefault(requirement.line(), requirement)
    return tuple(first.values())
