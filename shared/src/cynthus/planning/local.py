"""The project's own modules: which files an import runs."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

COMPILED = (".so", ".pyd", ".pyx")


class LocalModules:
    """Looks a dotted name up under the folders that will be on the import path."""

    def __init__(self, paths: Sequence[str], roots: Iterable[str]) -> None:
        self._files = frozenset(path for path in paths if path.endswith((".py", *COMPILED)))
        self._folders: set[str] = set()
        for path in self._files:
            folder = path.rpartition("/")[0]
            while folder and folder not in self._folders:
                self._folders.add(folder)
                folder = folder.rpartition("/")[0]
        self._compiled = {
            f"{PurePosixPath(path).parent.as_posix()}/{PurePosixPath(path).name.partition('.')[0]}".removeprefix(
                "./"
            )
            for path in self._files
            if path.endswith(COMPILED)
        }
        self._roots = tuple(dict.fromkeys(roots))

    def files_of(self, module: str) -> tuple[str, ...] | None:
        """Files that `import module` runs, packages first.

        Empty for a plain folder that holds Python, None when nothing here has the name.
        """
        best: tuple[str, ...] | None = None
        for root in self._roots:
            found = self.under(root, module)
            if found:
                return found
            best = found if best is None else best
        return best

    def under(self, folder: str, module: str) -> tuple[str, ...] | None:
        """The same, from one folder only: how a relative import looks."""
        files: list[str] = []
        for depth, part in enumerate(module.split(".")):
            base = f"{folder}/{part}" if folder else part
            if f"{base}/__init__.py" in self._files:
                files.append(f"{base}/__init__.py")
            elif f"{base}.py" in self._files:
                return (*files, f"{base}.py")
            elif base in self._compiled:
                return (*files, base)
            elif base not in self._folders:
                return (tuple(files) or None) if depth else None
            folder = base
        return tuple(files)

    def elsewhere(self, top: str) -> str | None:
        """A file of this name that is not on the import path, if there is just one."""
        found = [
            path
            for path in self._files
            if path.endswith((f"/{top}.py", f"/{top}/__init__.py"))
            or path in {f"{top}.py", f"{top}/__init__.py"}
        ]
        return found[0] if len(found) == 1 else None
