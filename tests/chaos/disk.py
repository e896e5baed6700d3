"""The disk of all machines: a small file system of its own, so that it can be full."""

import errno
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

_BYTES = 512 * 1024 * 1024
_PIECE = b"\0" * (1024 * 1024)


class MachinesDisk:
    """A tmpfs, where this process may mount one; else `here` is False and nothing can be filled."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "provider" / "home"
        self.here = os.geteuid() == 0 and shutil.which("mount") is not None
        self._filling = self.path / "filling"

    def mount(self) -> None:
        """Before anything is in it."""
        self.path.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={_BYTES},mode=0755", "tmpfs", str(self.path)]
        self.here = subprocess.run(command, check=False, capture_output=True).returncode == 0

    def unmount(self) -> None:
        """Also while something still uses it."""
        subprocess.run(["umount", "-l", str(self.path)], check=False, capture_output=True)

    def fill(self) -> int:
        """To the last byte; how many those were."""
        size = 0
        with self._filling.open("wb", buffering=0) as file:
            piece = _PIECE
            while piece:
                try:
                    size += file.write(piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    piece = piece[: len(piece) // 2]
        return size

    def free(self) -> None:
        """Give it back."""
        with suppress(FileNotFoundError):
            self._filling.unlink()
