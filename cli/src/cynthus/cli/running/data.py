"""--data: a folder becomes a snapshot of its own, one file goes with the source."""

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cynthus.cli import exits
from cynthus.cli.failure import Failure


@dataclass(frozen=True, slots=True)
class Data:
    """`source` as the user wrote it, `path` on this machine, `mount` where the run finds it."""

    source: str
    path: Path
    mount: str

    @property
    def one_file(self) -> bool:
        """A file travels with the source; a folder is mounted."""
        return self.path.is_file()


def parse(texts: Iterable[str], *, root: Path, here: Path) -> list[Data]:
    """PATH[:MOUNT] each. Raises Failure for what is not there, or would cover the project."""
    found = [_one(text, root.resolve(), here) for text in texts]
    mounts = [one.mount for one in found]
    twice = next((mount for mount in mounts if mounts.count(mount) > 1), None)
    if twice is not None:
        raise _bad(f"two --data would be at {twice}", "give one of them another place: --data PATH:MOUNT")
    return found


def _one(text: str, root: Path, here: Path) -> Data:
    if "://" in text:
        scheme = text.split("://", 1)[0]
        raise Failure(
            code="data_scheme_unsupported",
            what=f"{scheme}:// data cannot be read yet",
            fix=f"download it and give the folder: --data ./{posixpath.basename(text) or 'data'}",
            exit_code=exits.USAGE,
        )
    source, mount = text, ""
    if not (here / text).exists() and ":" in text:
        source, _, mount = text.rpartition(":")
    path = Path(os.path.abspath(here / source))  # noqa: PTH100 (resolve would follow the user's own link)
    if not path.exists():
        raise Failure(
            code="data_not_found",
            what=f"--data {source}: there is no such file or folder",
            why=f"looked for {path}",
            fix=_nearest(path) or "check the path; it is relative to the folder you are in",
            exit_code=exits.USAGE,
        )
    return Data(source, path.resolve(), _mount(mount, path, root))


def _mount(given: str, path: Path, root: Path) -> str:
    inside = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    mount = posixpath.normpath(given or inside)
    if mount in {".", ".."} or mount.startswith(("/", "../")):
        raise _bad(
            f"--data {path}: {mount} is no place inside the project",
            "name a folder inside it: --data PATH:data",
        )
    return mount


def _nearest(path: Path) -> str | None:
    from difflib import get_close_matches

    try:
        close = get_close_matches(path.name, os.listdir(path.parent), n=1)  # noqa: PTH208 (names only)
    except OSError:
        return None
    return f"did you mean {path.parent / close[0]}?" if close else None


def _bad(what: str, fix: str) -> Failure:
    return Failure(code="data_invalid", what=what, fix=fix, exit_code=exits.USAGE)
