"""Which files stay at home, and by whose word: .cynthusignore, cynthus.toml, ours, .gitignore."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ALWAYS = {
    ".git": "history, not source",
    ".hg": "history, not source",
    ".svn": "history, not source",
    ".cynthus": "cynthus's own",
}
"""Never sent, whatever a rule says."""

USUALLY = {
    "__pycache__": "made by Python",
    ".venv": "a virtual environment",
    "node_modules": "installed packages",
    ".mypy_cache": "a cache",
    ".pytest_cache": "a cache",
    ".ruff_cache": "a cache",
    ".tox": "a cache",
    ".nox": "a cache",
    ".ipynb_checkpoints": "a cache",
    ".hypothesis": "a cache",
    ".DS_Store": "made by the file manager",
}
"""Not sent unless a rule such as `!node_modules/` in .cynthusignore says so."""

_GIT, _OWN = ".gitignore", ".cynthusignore"
Verdict = tuple[bool, str]
"""(ignored, why)"""


class Rules:
    """The rules that hold in one folder: its own, and those it inherits."""

    def __init__(self, strong: Sequence["_Spec"] = (), weak: Sequence["_Spec"] = ()) -> None:
        self._strong = strong
        self._weak = weak

    @classmethod
    def of_project(cls, root: Path, patterns: Sequence[str] = ()) -> "Rules":
        """Rules for a project's root: cynthus.toml's `ignore`, and the .gitignore files of its repository."""
        strong = [_Spec("cynthus.toml", "", patterns)] if patterns else []
        return cls(strong, _of_repository(root))

    def within(self, folder: str, read: Callable[[str], bytes | None]) -> "Rules":
        """Rules for a folder (relative, "" is the root); `read` gives a rule file's bytes when it exists."""
        strong, weak = self._strong, self._weak
        for name in (_OWN, _GIT):
            content = read(name)
            if content is None:
                continue
            lines = content.decode("utf-8", "replace").splitlines()
            spec = _Spec(f"{folder}/{name}".lstrip("/"), folder, lines)
            if name == _OWN:
                strong = [spec, *strong]
            else:
                weak = [spec, *weak]
        return Rules(strong, weak)

    def verdict(self, path: str, name: str, *, folder: bool) -> str | None:
        """Why a path is ignored, or None when it is not."""
        if name in ALWAYS:
            return f"built in: {ALWAYS[name]}"
        for spec in self._strong:
            if (found := spec.check(path, folder=folder)) is not None:
                return found[1] if found[0] else None
        if name in USUALLY:
            return f"built in: {USUALLY[name]}"
        for spec in self._weak:
            if (found := spec.check(path, folder=folder)) is not None:
                return found[1] if found[0] else None
        return None


class _Spec:
    """The patterns of one file; paths are asked for relative to the project, `base` is the file's folder."""

    def __init__(self, origin: str, base: str, lines: Iterable[str], *, above: str = "") -> None:
        from pathspec import GitIgnoreSpec

        self._lines = [line for line in lines if line.strip() and not line.startswith("#")]
        self._origin = origin
        self._skip = len(base) + 1 if base else 0
        self._above = above
        self._spec = GitIgnoreSpec.from_lines(self._lines)

    def check(self, path: str, *, folder: bool) -> Verdict | None:
        """The last pattern that matches, if any."""
        relative = self._above + path[self._skip :] + ("/" if folder else "")
        found = self._spec.check_file(relative)
        if found.include is None or found.index is None:
            return None
        return found.include, f"{self._origin}: {self._lines[found.index].strip()}"


def _of_repository(root: Path) -> list[_Spec]:
    """The .gitignore files above the project, when it is part of a git repository."""
    specs: list[_Spec] = []
    above, folder = "", root
    while not (folder / ".git").exists():
        if folder.parent == folder:
            return []
        above, folder = f"{folder.name}/{above}", folder.parent
        try:
            lines = (folder / _GIT).read_text(errors="replace").splitlines()
        except OSError:
            continue
        specs.append(_Spec(os.path.relpath(folder / _GIT, root), "", lines, above=above))
    return specs
