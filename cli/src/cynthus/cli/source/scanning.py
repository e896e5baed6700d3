"""Walk a folder: what is sent, what is not and why. Nothing is dropped in silence."""

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from pathlib import Path

from cynthus.cli import exits
from cynthus.cli.failure import Failure
from cynthus.cli.source.ignoring import Rules
from cynthus.cli.source.tree import Found, Scan

LONGEST_PATH_BYTES = 2048
"""Longer ones could not be laid out in a run's folder on every machine (the system's limit is 4096)."""

SENT_BY_ITSELF = "data: sent by itself"
"""Why a folder of data is no source; it is told elsewhere, so it is not listed among what is ignored."""

_EXAMPLES = 5
_RULE_FILES = (".cynthusignore", ".gitignore")


def scan_project(
    root: Path, patterns: Iterable[str] = (), *, left_out: Iterable[tuple[str, str]] = ()
) -> Scan:
    """A project's source. `left_out`: (path, why) of what goes in another way, or never. Raises Failure."""
    return _Walk(root, dict(left_out)).walk(Rules.of_project(root, list(patterns)))


def scan_data(root: Path) -> Scan:
    """A folder of data: everything, unless its .cynthusignore says otherwise. Raises Failure."""
    return _Walk(root, {}, rule_files=(".cynthusignore",)).walk(Rules())


class _Walk:
    def __init__(
        self, root: Path, left_out: dict[str, str], rule_files: tuple[str, ...] = _RULE_FILES
    ) -> None:
        self._root = root
        self._left_out = left_out
        self._rule_files = rule_files
        self._scan = Scan()
        self._bad_names: list[str] = []
        self._unreadable: list[str] = []
        self._too_long: list[str] = []

    def walk(self, rules: Rules) -> Scan:
        pending = [("", rules)]
        while pending:
            folder, inherited = pending.pop()
            try:
                with os.scandir(self._root / folder) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._refused(folder, error)
                continue
            pending.extend(self._folder(folder, inherited, listed))
        self._raise_refusals()
        self._warn_about_case()
        return self._scan

    def _folder(
        self, folder: str, inherited: Rules, listed: list[os.DirEntry[str]]
    ) -> list[tuple[str, Rules]]:
        names = {entry.name for entry in listed}
        rules = inherited
        if names.intersection(self._rule_files):
            rules = inherited.within(folder, lambda name: self._rule_file(folder, name, names))
        below: list[tuple[str, Rules]] = []
        kept = 0
        for entry in listed:
            path = f"{folder}/{entry.name}" if folder else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            why = self._why_not(path, entry, rules, is_folder=is_folder)
            if why == SENT_BY_ITSELF:
                continue
            if why is not None:
                self._scan.ignored.add(f"{path}/" if is_folder else path, why)
                continue
            kept += 1
            if not self._nameable(path, entry.name):
                continue
            if is_folder:
                below.append((path, rules))
            else:
                self._leaf(path, entry)
        if folder and not kept:
            self._scan.folders.append(folder)
        return below

    def _why_not(self, path: str, entry: os.DirEntry[str], rules: Rules, *, is_folder: bool) -> str | None:
        if path in self._left_out:
            return self._left_out[path]
        why = rules.verdict(path, entry.name, folder=is_folder)
        if why is None and is_folder and os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):  # noqa: PTH110, PTH118 (hot)
            return "built in: a virtual environment"
        return why

    def _leaf(self, path: str, entry: os.DirEntry[str]) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                self._link(path, os.readlink(entry.path))  # noqa: PTH115 (keeps the text as it is)
                return
        except OSError as error:
            self._refused(path, error)
            return
        if not stat.S_ISREG(found.st_mode):
            self._scan.skipped.add(path, f"a {_kind(found.st_mode)}, not a file")
            return
        executable = bool(found.st_mode & stat.S_IXUSR)
        self._scan.files.append(
            Found(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, executable)
        )

    def _link(self, path: str, target: str) -> None:
        landed = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target.startswith("/") or landed == ".." or landed.startswith("../"):
            self._scan.skipped.add(path, f"a link out of the folder, to {target}")
        elif not _is_utf8(target):
            self._bad_names.append(path)
        else:
            self._scan.links[path] = target

    def _nameable(self, path: str, name: str) -> bool:
        if not _is_utf8(name):
            self._bad_names.append(path)
            return False
        if len(path.encode()) > LONGEST_PATH_BYTES:
            self._too_long.append(path)
            return False
        return True

    def _refused(self, path: str, error: OSError) -> None:
        if error.errno == errno.ENAMETOOLONG:
            self._too_long.append(path)
        elif isinstance(error, FileNotFoundError) and path:
            self._scan.warnings.append(f"{path} disappeared while the folder was read")
        else:
            self._unreadable.append(f"{path or '.'} ({error.strerror})")

    def _rule_file(self, folder: str, name: str, names: set[str]) -> bytes | None:
        if name not in names or name not in self._rule_files:
            return None
        try:
            return (self._root / folder / name).read_bytes()
        except OSError:
            return None  # it is listed among the unreadable files when it is hashed

    def _raise_refusals(self) -> None:
        if self._bad_names:
            raise _refusal("name_not_utf8", "names that are not UTF-8", self._bad_names, "rename them")
        if self._too_long:
            limit = f"paths longer than {LONGEST_PATH_BYTES} bytes"
            raise _refusal("path_too_long", limit, self._too_long, "shorten them")
        if self._unreadable:
            raise unreadable(self._unreadable)

    def _warn_about_case(self) -> None:
        seen: dict[str, str] = {}
        for path in self._scan.paths():
            other = seen.setdefault(path.casefold(), path)
            if other != path:
                self._scan.warnings.append(f"{other} and {path} differ only in case")


def unreadable(paths: list[str]) -> Failure:
    """Files that we may not read."""
    return _refusal("unreadable", "files that cannot be read", paths, "chmod u+r them")


def _refusal(code: str, what: str, paths: list[str], fix: str) -> Failure:
    shown = "\n".join(path.encode("utf-8", "backslashreplace").decode() for path in paths[:_EXAMPLES])
    rest = len(paths) - _EXAMPLES
    return Failure(
        code=code,
        what=f"the folder has {what}",
        why=shown + (f"\nand {rest} more" if rest > 0 else ""),
        fix=f"{fix}, or name them in .cynthusignore",
        exit_code=exits.SPEC_INVALID,
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "pipe"))
    return next((name for is_one, name in kinds if is_one(mode)), "device")
