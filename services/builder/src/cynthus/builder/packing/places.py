"""Where a wheel's files belong in the image: one virtual environment in /opt/venv."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

VENV = "opt/venv"
PYTHON = f"/{VENV}/bin/python"

_SCHEMES = ("purelib", "platlib", "scripts", "headers", "data")
_LONGEST_NAME, _LONGEST_PATH = 255, 3000
_MISREAD = re.compile(r"[\\\x00-\x1f\x7f]")
_FORBIDDEN = {"", ".", ".."}


class NoPlace(Exception):
    """The name cannot be a file of a wheel; the message says why."""


@dataclass(frozen=True, slots=True)
class Places:
    """For one distribution, on a Python such as 3.11."""

    python: str
    distribution: str

    @property
    def site(self) -> str:
        """The folder of site-packages."""
        return f"{VENV}/lib/python{self.python}/site-packages"

    def place(self, name: str) -> tuple[str, bool] | None:
        """The path, and whether it is a script, of a name in the wheel. None: left out. Raises NoPlace."""
        parts = parts_of(name)
        if parts[-1].endswith((".pyc", ".pyo")) or "__pycache__" in parts:
            return None
        if not parts[0].endswith(".data"):
            return f"{self.site}/{name}", False
        scheme, rest = (parts[1], parts[2:]) if len(parts) > 2 else ("", [])  # noqa: PLR2004 (folder, scheme, file)
        match scheme:
            case "purelib" | "platlib":
                return "/".join([self.site, *rest]), False
            case "scripts":
                return self.script("/".join(rest)), True
            case "headers":
                folder = f"{VENV}/include/site/python{self.python}/{self.distribution}"
                return "/".join([folder, *rest]), False
            case "data":
                return self._data(rest), False
        raise NoPlace(f"{name!r} is in none of {', '.join(_SCHEMES)}")

    def script(self, name: str) -> str:
        """The path of a command. Raises NoPlace for the interpreter's own."""
        return self._data(["bin", *parts_of(name)])

    def _data(self, parts: list[str]) -> str:
        if parts[0] == "lib64":  # a link to lib, and a folder here would hide it
            parts = ["lib", *parts[1:]]
        path = "/".join([VENV, *parts])
        own = {"pyvenv.cfg", "lib", "bin", "bin/python", "bin/python3", f"bin/python{self.python}"}
        if "/".join(parts) in own:
            raise NoPlace(f"{path!r} belongs to the environment itself")
        return path


def parts_of(name: str) -> list[str]:
    """The parts of a relative path. Raises NoPlace for one that could leave its folder or be misread."""
    parts = name.split("/")
    if _MISREAD.search(name):
        raise NoPlace(f"{name!r} has a backslash or a control character")
    if not _FORBIDDEN.isdisjoint(parts):
        raise NoPlace(f"{name!r} is absolute or leaves its folder")
    if len(name.encode()) > _LONGEST_PATH or len(max(parts, key=len).encode()) > _LONGEST_NAME:
        raise NoPlace(f"{name[:80]!r}... is too long for a file system")
    return parts


def folders_of(paths: Iterable[str]) -> set[str]:
    """All folders above these paths."""
    found: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in found:
            found.add(parent)
            parent = parent.rpartition("/")[0]
    return found
