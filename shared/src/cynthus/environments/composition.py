"""One virtual environment of several layers, by hard links.

A file shows in every environment that has it, so it is read-only here; only a sandbox keeps a program that
runs as the same user from writing to it nevertheless.
"""

import errno
import os
import shutil
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cynthus.environments.shelf import remove_tree

PLACE = "opt/venv"
"""Where a layer holds its part of the environment."""
_SCRIPT = f"#!/{PLACE}/bin/python".encode()
_LONGEST_FIRST_LINE = 200
_COPIED_INSTEAD = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})


class Composed(NamedTuple):
    """What was made: files altogether, and the bytes that are not shared with the layers."""

    files: int
    bytes: int


def compose(
    layers: Sequence[str], target: str, *, interpreter: str, python: str, place: str | None = None
) -> Composed:
    """Fill the empty folder `target`, which will be at `place`; later layers win over earlier ones.

    `interpreter` is a path, `python` its version such as 3.11. Raises OSError.
    """
    merging = _Merging()
    for layer in layers:
        source = f"{layer}/{PLACE}"
        if os.path.isdir(source) and os.path.realpath(source) == f"{os.path.realpath(layer)}/{PLACE}":
            merging.folder(source, target)
    binaries = f"{target}/bin"
    _make_folder(binaries)
    merging.bytes += _rewrite_scripts(binaries, place or target)
    _give_interpreter(target, interpreter, python)
    return Composed(merging.files, merging.bytes)


class _Merging:
    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0

    def folder(self, source: str, target: str) -> None:
        with os.scandir(source) as entries:
            for entry in entries:
                path = f"{target}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    _make_folder(path)
                    self.folder(entry.path, path)
                else:
                    self._file(entry.path, path)

    def _file(self, source: str, target: str) -> None:
        self.files += 1
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            remove_tree(target)
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _COPIED_INSTEAD:
                raise
            remove_tree(target)
            shutil.copy2(source, target, follow_symlinks=False)
            self.bytes += os.lstat(target).st_size


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
            os.mkdir(path, 0o755)


def _rewrite_scripts(binaries: str, place: str) -> int:
    total = 0
    for entry in list(os.scandir(binaries)):
        if entry.is_file(follow_symlinks=False):
            with open(entry.path, "rb") as file:
                first = file.readline(_LONGEST_FIRST_LINE)
                if not first.startswith(_SCRIPT) or not first.endswith(b"\n"):
                    continue
                script = b"".join([_first_lines(first[2:].strip().decode(), place), file.read()])
            _replace(entry.path, script, 0o555)
            total += len(script)
    return total


def _first_lines(command: str, place: str) -> bytes:
    """As Linux reads them: a path that is long or has a space is started by the shell."""
    program, *options = command.removeprefix(f"/{PLACE}").split()
    program = f"{place}{program}"
    line = " ".join([f"#!{program}", *options])
    if len(os.fsencode(line)) < _LONGEST_FIRST_LINE and not any(map(str.isspace, place)):
        return os.fsencode(f"{line}\n")
    quoted = program.replace('"', '\\"')
    return os.fsencode(f"#!/bin/sh\n'''exec' \"{quoted}\" {' '.join(options)} \"$0\" \"$@\"\n' '''\n")


def _give_interpreter(target: str, interpreter: str, python: str) -> None:
    minor = ".".join(python.split(".")[:2])
    for name in _interpreter_names(f"{target}/bin", minor):
        path = f"{target}/bin/{name}"
        remove_tree(path)
        os.symlink(interpreter if name == "python" else "python", path)
    home = os.path.dirname(interpreter)
    lines = f"home = {home}\ninclude-system-site-packages = false\nversion = {python}\n"
    _replace(f"{target}/pyvenv.cfg", lines.encode(), 0o444)
    for folder in ("lib", f"lib/python{minor}", f"lib/python{minor}/site-packages"):
        _make_folder(f"{target}/{folder}")


def _interpreter_names(binaries: str, minor: str) -> Iterable[str]:
    present = {entry.name for entry in os.scandir(binaries) if entry.is_symlink()}
    return {"python", "python3", f"python{minor}"} | {name for name in present if name.startswith("python")}


def _replace(path: str, content: bytes, mode: int) -> None:
    """A new file: what it replaces may be shared with a layer."""
    remove_tree(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, mode)
