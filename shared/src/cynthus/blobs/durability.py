"""Files that survive a power cut: data first, then the names."""

import ctypes
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_MANY = 16


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def sync_files(root: Path, paths: Iterable[Path]) -> None:
    """Make the contents of files durable: one call for the file system where there is one."""
    if not _sync_file_system(root):
        for path in paths:
            _sync_file(path)


def sync_names(root: Path, folders: set[Path]) -> None:
    """Make the names in many folders durable."""
    if len(folders) > _MANY and _sync_file_system(root):
        return
    for folder in folders:
        sync_folder(folder)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file_system(root: Path) -> bool:
    library = _libc()
    if library is None:
        return False
    descriptor = os.open(root, os.O_RDONLY)
    try:
        if library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
    return True


@cache
def _libc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "syncfs") else None
