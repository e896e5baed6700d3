"""What is started: the argument, the task, main.py, or the only script."""

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from posixpath import normpath

from cynthus.planning.document import Entry
from cynthus.planning.names import nearest
from cynthus.planning.problem import CannotPlan
from cynthus.planning.request import PlanRequest, Task
from cynthus.planning.tree import SourceTree

MAIN_BLOCK = re.compile(
    rb"^if\s+\(?\s*(?:__name__\s*==\s*['\"]__main__['\"]|['\"]__main__['\"]\s*==\s*__name__)", re.MULTILINE
)
LARGEST = 2_000_000  # bytes of a script that are searched for a main block
NOT_SCRIPTS = {"__init__.py", "setup.py", "conftest.py", "noxfile.py", "fabfile.py"}
TEST = re.compile(r"^(?:test_.*|.*_test)\.py$")
MODULE = re.compile(r"^-m\s*([A-Za-z_][\w.]*)$")


@dataclass(frozen=True, slots=True)
class Start:
    """The entry, its command, and the files where the scan begins."""

    entry: Entry
    command: tuple[str, ...]
    files: tuple[str, ...]


def find_start(tree: SourceTree, request: PlanRequest, task: Task | None) -> Start:
    """Choose what is started; CannotPlan lists the choices when that is not clear."""
    paths = tree.paths()
    if not paths:
        raise CannotPlan(
            "empty_folder",
            what="the folder has no files",
            why="nothing is left to upload after the ignore rules",
            fix="go to the folder of your script, or look at .gitignore and .cynthusignore",
        )
    if request.entry not in {None, "", "."}:
        return _given(tree, str(request.entry), request.args)
    if task is not None:
        return _task(tree, task, request.args)
    return _found(tree, "", request.args)


def start_of(path: str, found: str, args: tuple[str, ...]) -> Start:
    """The command for one file."""
    if path.endswith(".ipynb"):
        output = f"outputs/{PurePosixPath(path).name}"
        options = ("-k", "python3", "--no-progress-bar", "--stdout-file", "-", "--stderr-file", "/dev/stderr")
        command = ("python", "-m", "papermill", path, output, *options, *args)
        return Start(Entry(kind="notebook", target=path, found=found), command, (path,))
    if path.endswith((".sh", ".bash")):
        return Start(Entry(kind="command", target=path, found=found), ("bash", path, *args), (path,))
    return Start(Entry(kind="script", target=path, found=found), ("python", path, *args), (path,))


def module_files(paths: frozenset[str], module: str) -> tuple[str, ...]:
    """The files `python -m module` runs from the root or from src."""
    base = module.replace(".", "/")
    for root in ("", "src/"):
        for path in (f"{root}{base}/__main__.py", f"{root}{base}.py"):
            if path in paths:
                return (path,)
    return ()


def _given(tree: SourceTree, entry: str, args: tuple[str, ...]) -> Start:
    paths = frozenset(tree.paths())
    module = MODULE.match(entry)
    if module:
        return _module(paths, module.group(1), args)
    path = normpath(entry)
    if path in paths:
        if path.endswith((".py", ".ipynb", ".sh", ".bash")) or tree.read(path)[:2] == b"#!":
            return _script_or_command(tree, path, args)
        raise CannotPlan(
            "entry_not_found",
            what=f"{path} is not something that can be started",
            why="a .py file, an .ipynb notebook or a .sh script is",
            fix='name a script, or write its command under [task.main] in cynthus.toml: command = "…"',
        )
    if any(name.startswith(f"{path}/") for name in paths):
        return _found(tree, path, args)
    raise _missing(paths, path, "the folder holds no such file, after the ignore rules")


def _script_or_command(tree: SourceTree, path: str, args: tuple[str, ...]) -> Start:
    first = tree.read(path).partition(b"\n")[0]
    if path.endswith((".py", ".ipynb", ".sh", ".bash")) or b"python" in first:
        return start_of(path, "argument", args)
    return Start(Entry(kind="command", target=path, found="argument"), ("sh", path, *args), ())


def _module(paths: frozenset[str], module: str, args: tuple[str, ...]) -> Start:
    files = module_files(paths, module)
    base = module.replace(".", "/")
    if not files and any(f"{root}{base}/__init__.py" in paths for root in ("", "src/")):
        raise CannotPlan(
            "entry_not_found",
            what=f"the package {module} cannot be started",
            why="it has no __main__.py",
            fix=f"add {base}/__main__.py, or name a module inside it: -m {module}.train",
        )
    if not files and f"{base.partition('/')[0]}/" in {f"{name.partition('/')[0]}/" for name in paths}:
        raise _missing(paths, f"{base}.py", f"-m {module} names no file of the folder")
    entry = Entry(kind="module", target=module, found="argument")
    return Start(entry, ("python", "-m", module, *args), files)


def _task(tree: SourceTree, task: Task, args: tuple[str, ...]) -> Start:
    paths = frozenset(tree.paths())
    shell = isinstance(task.command, str)
    words = _words(task) if isinstance(task.command, str) else task.command
    found = f"[task.{task.name}]"
    if not words or not words[0].strip():
        raise CannotPlan(
            "no_entry_point",
            what=f"{found} in {task.where} has an empty command",
            why="there is nothing to start",
            fix='write command = "python train.py"',
        )
    files = _files_in(paths, words, task)
    simple = not shell or not re.search(r"[$`|&;<>*?~(){}\[\]#!\\\n'\"]|^\w+=", str(task.command))
    if simple:
        command = (*words, *args)
    else:
        tail = ' "$@"' if args else ""
        command = ("sh", "-c", f"{task.command}{tail}", *(("sh", *args) if args else ()))
    target = task.command if isinstance(task.command, str) else shlex.join(task.command)
    return Start(Entry(kind="command", target=target, found=found), command, files)


def _words(task: Task) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(str(task.command)))
    except ValueError as error:
        raise CannotPlan(
            "no_entry_point",
            what=f"the command of [task.{task.name}] in {task.where} cannot be read",
            why=str(error),
            fix="close the quotation marks, or write the command as a list",
        ) from error


def _files_in(paths: frozenset[str], words: tuple[str, ...], task: Task) -> tuple[str, ...]:
    """Python files that the command starts; one that is missing is an error."""
    files: list[str] = []
    for before, word in zip(("", *words), words, strict=False):
        if before == "-m":
            files.extend(module_files(paths, word))
        elif word.endswith((".py", ".ipynb")) and normpath(word) in paths:
            files.append(normpath(word))
        elif word.endswith(".py") and re.fullmatch(r"python(3(\.\d+)?)?", before) and "$" not in word:
            raise _missing(
                paths, normpath(word), f"the command of [task.{task.name}] in {task.where} starts it"
            )
    return tuple(files)


def _found(tree: SourceTree, folder: str, args: tuple[str, ...]) -> Start:
    prefix = f"{folder}/" if folder else ""
    paths = tree.paths()
    inside = [path for path in paths if path.startswith(prefix)]
    for name in ("main.py", "__main__.py") if folder else ("main.py",):
        if f"{prefix}{name}" in inside:
            return start_of(f"{prefix}{name}", name, args)
    top = [path for path in inside if "/" not in path[len(prefix) :] and _is_script(path)]
    scripts = [path for path in top if path.endswith(".py")] or top
    with_main = [path for path in scripts if _has_main(tree, path)]
    if not top:
        with_main = [
            path for path in inside if _is_script(path) and path.endswith(".py") and _has_main(tree, path)
        ]
    for candidates, found in ((scripts, "the only script"), (with_main, "the only script with a main block")):
        if len(candidates) == 1:
            return start_of(candidates[0], found, args)
    choices = with_main or scripts
    if choices:
        raise _several(choices, folder)
    raise _none(folder, inside)


def _is_script(path: str) -> bool:
    name = PurePosixPath(path).name
    return path.endswith((".py", ".ipynb")) and name not in NOT_SCRIPTS and not TEST.match(name)


def _has_main(tree: SourceTree, path: str) -> bool:
    return (
        path.endswith(".py") and tree.size(path) < LARGEST and MAIN_BLOCK.search(tree.read(path)) is not None
    )


def _several(choices: list[str], folder: str) -> CannotPlan:
    shown = ", ".join(choices[:6]) + (", …" if len(choices) > 6 else "")  # noqa: PLR2004 - a line's worth
    return CannotPlan(
        "several_entry_points",
        what=f"{len(choices)} files could be started: {shown}",
        why=f"there is no main.py{f' in {folder}' if folder else ''} and no [task.main]",
        fix=f"cynthus run {shlex.quote(choices[0])}",
        candidates=tuple(f"cynthus run {shlex.quote(choice)}" for choice in choices[:20]),
    )


def _none(folder: str, inside: list[str]) -> CannotPlan:
    place = folder or "the folder"
    return CannotPlan(
        "no_entry_point",
        what=f"nothing to start was found in {place} ({len(inside)} files)",
        why="there is no [task.main], no main.py and no other Python script or notebook",
        fix='name the file: cynthus run path/to/script.py; or [task.main] command = "…" in cynthus.toml',
    )


def _missing(paths: frozenset[str], path: str, why: str) -> CannotPlan:
    scripts = [name for name in paths if name.endswith((".py", ".ipynb", ".sh"))]
    same = [name for name in scripts if PurePosixPath(name).name == PurePosixPath(path).name]
    near = tuple(sorted(same)[:3]) or nearest(path, scripts)
    return CannotPlan(
        "entry_not_found",
        what=f"{path} was not found",
        why=why,
        fix=f"did you mean {' or '.join(near)}?" if near else "check the name and the ignore rules",
        candidates=near,
    )
