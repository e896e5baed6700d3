"""Follows imports from the entry through the project's own modules to the packages outside."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cynthus.planning.catalogue import is_certain
from cynthus.planning.local import LocalModules
from cynthus.planning.notebook import BadNotebook, Install, read_notebook
from cynthus.planning.problem import CannotPlan
from cynthus.planning.source import BadSyntax, Import, imports_of, loose_imports
from cynthus.planning.stdlib import in_stdlib
from cynthus.planning.syntax import not_python
from cynthus.planning.tree import SourceTree

LARGEST = 2_000_000  # bytes of source worth parsing
CERTAIN, LAZY, OPTIONAL = range(3)  # how surely the program gets to an import
PATH_EDIT = re.compile(
    rb"\bsys\.path\.(?:append|insert|extend)\b|\bsys\.path\s*(?:\+=|=)|\bsite\.addsitedir\b"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """An import of something outside the project: the longest dotted name, and where.

    `source` is the part of the name that is a module for certain, as in `from source import name`.
    """

    module: str
    where: str
    optional: bool
    lazy: bool = False
    source: str = ""

    @property
    def top(self) -> str:
        """The first part of the name."""
        return self.module.partition(".")[0]


@dataclass(slots=True)
class Scan:
    """What the reachable code imports and what was found on the way."""

    seen: list[Seen] = field(default_factory=list)
    installs: list[tuple[str, Install]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    edits_path: bool = False


def scan(
    tree: SourceTree, starts: Iterable[str], roots: Iterable[str], python: tuple[int, int]
) -> tuple[Scan, LocalModules]:
    """Read `starts` and every local module they reach; CannotPlan for what is not Python."""
    modules = LocalModules(tree.paths(), roots)
    walker = _Walker(tree, modules, python)
    walker.run(starts)
    walker.result.seen.sort(key=lambda seen: (seen.module, seen.where))
    return walker.result, modules


def _reached(found: Import) -> int:
    if found.optional:
        return OPTIONAL
    return LAZY if found.lazy else CERTAIN


class _Walker:
    def __init__(self, tree: SourceTree, modules: LocalModules, python: tuple[int, int]) -> None:
        self._tree = tree
        self._modules = modules
        self._python = python
        self._paths = frozenset(tree.paths())
        self.result = Scan()

    def run(self, starts: Iterable[str]) -> None:
        first = tuple(starts)
        todo: list[tuple[str, int]] = [(path, CERTAIN) for path in reversed(first)]
        done: dict[str, int] = {}
        while todo:
            path, reached = todo.pop()
            if path not in self._paths or (path in done and done[path] <= reached):
                continue
            if path not in done:
                self.result.files.append(path)
            done[path] = reached
            for where, found in self._imports(path, optional=reached == OPTIONAL):
                if path in first and found.level:
                    self._warn_relative(path, where)
                through = max(reached, _reached(found))
                todo.extend((file, through) for file in self._follow(path, where, found, through))

    def _imports(self, path: str, *, optional: bool) -> list[tuple[str, Import]]:
        if path.endswith(".py") and self._tree.size(path) > LARGEST:
            self.result.warnings.append(
                f"{path} is larger than {LARGEST // 10**6} MB and was not scanned for imports"
            )
            return []
        if path.endswith(".ipynb"):
            return self._notebook(path)
        if not path.endswith(".py"):
            return []
        data = self._tree.read(path)
        self.result.edits_path |= PATH_EDIT.search(data) is not None
        return [(f"{path}:{found.line}", found) for found in self._parsed(path, data, optional=optional)]

    def _parsed(self, label: str, data: bytes, *, optional: bool) -> tuple[Import, ...]:
        try:
            return imports_of(data, self._python)
        except BadSyntax as error:
            return self._tolerated(label, data, error, optional=optional)

    def _tolerated(self, label: str, data: bytes, error: BadSyntax, *, optional: bool) -> tuple[Import, ...]:
        problem = not_python(label, error, self._python)
        if problem is not None and not optional:
            raise problem
        reason = problem.what if problem else f"{label} uses newer syntax than the Python that made this plan"
        self.result.warnings.append(f"{reason}; its imports were read line by line")
        return loose_imports(data)

    def _notebook(self, path: str) -> list[tuple[str, Import]]:
        try:
            notebook = read_notebook(self._tree.read(path))
        except BadNotebook as error:
            raise CannotPlan(
                "bad_notebook",
                what=f"{path} cannot be run as a notebook",
                why=str(error),
                fix="save it again from Jupyter with a Python kernel",
                where=path,
            ) from error
        self.result.installs.extend((path, install) for install in notebook.installs)
        found: list[tuple[str, Import]] = []
        for cell in notebook.cells:
            label = f"{path}:cell {cell.number}"
            parsed = self._parsed(label, cell.source, optional=False)
            found.extend((f"{label}:{one.line}", one) for one in parsed)
        return found

    def _follow(self, path: str, where: str, found: Import, reached: int) -> list[str]:
        if found.level:
            return self._relative(path, found)
        names = [f"{found.module}.{name}" for name in found.names if name != "*"] or [found.module]
        files: list[str] = []
        for name in names:
            local = self._modules.files_of(name)
            if local is None or (not local and not self._is_own_folder(name)):
                self._outside(Seen(name, where, reached == OPTIONAL, reached == LAZY, found.module))
            else:
                files.extend(local)
        return files

    def _is_own_folder(self, name: str) -> bool:
        """A folder without __init__.py loses to an installed package of the same name."""
        return not in_stdlib(name.partition(".")[0], self._python) and not is_certain(name)

    def _relative(self, path: str, found: Import) -> list[str]:
        folder = PurePosixPath(path).parent
        for _ in range(found.level - 1):
            folder = folder.parent
        base = "" if folder.as_posix() == "." else folder.as_posix()
        names = [name for name in found.names if name != "*"]
        wanted = [f"{found.module}.{name}" for name in names] if found.module else names
        files = [f"{base}/__init__.py".removeprefix("/")]
        for name in wanted or [found.module]:
            if name:
                files.extend(self._modules.under(base, name) or ())
        return files

    def _outside(self, seen: Seen) -> None:
        if seen.top and not in_stdlib(seen.top, self._python):
            self.result.seen.append(seen)

    def _warn_relative(self, path: str, where: str) -> None:
        module = path.removesuffix(".py").replace("/", ".")
        self.result.warnings.append(
            f"{where} is a relative import in the script that is started, which Python refuses; "
            f"start it as a module: -m {module}"
        )
