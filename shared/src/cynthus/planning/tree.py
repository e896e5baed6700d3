"""Where planning reads a project from: a folder, a snapshot or a dict."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cynthus.planning.problem import CannotPlan


class SourceTree(Protocol):
    """The files that will be uploaded: relative POSIX paths, sorted."""

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        ...

    def read(self, path: str) -> bytes:
        """The whole content of one file."""
        ...

    def size(self, path: str) -> int:
        """Bytes in one file."""
        ...


class FolderTree:
    """Files of a folder on this machine; `paths` is what the ignore rules left."""

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._root = root
        self._paths = tuple(sorted(set(paths)))

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        return self._paths

    def read(self, path: str) -> bytes:
        """The whole content of one file."""
        return (self._root / path).read_bytes()

    def size(self, path: str) -> int:
        """Bytes in one file."""
        return (self._root / path).stat().st_size


class BoundedTree:
    """Refuses to read what no project file is as large as, so that a plan fits in memory."""

    def __init__(self, tree: SourceTree, limit: int = 64_000_000) -> None:
        self._tree = tree
        self._limit = limit

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        return self._tree.paths()

    def read(self, path: str) -> bytes:
        """The whole content of one file; CannotPlan when it is larger than the limit (bytes)."""
        if self.size(path) > self._limit:
            raise CannotPlan(
                "file_too_large",
                what=f"{path} is too large to be read for the plan",
                why=f"it has {self.size(path)} bytes and the limit is {self._limit}",
                fix="remove what is not code from the file; a notebook's outputs can be cleared",
                where=path,
            )
        return self._tree.read(path)

    def size(self, path: str) -> int:
        """Bytes in one file."""
        return self._tree.size(path)


class MemoryTree:
    """Files in memory; text is stored as UTF-8."""

    def __init__(self, files: Mapping[str, bytes | str]) -> None:
        self._files = {
            path: content.encode() if isinstance(content, str) else content
            for path, content in sorted(files.items())
        }
        self._paths = tuple(self._files)

    def paths(self) -> Sequence[str]:
        """Every file, sorted."""
        return self._paths

    def read(self, path: str) -> bytes:
        """The whole content of one file."""
        return self._files[path]

    def size(self, path: str) -> int:
        """Bytes in one file."""
        return len(self._files[path])
