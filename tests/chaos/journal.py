"""The evidence folder: JSON lines, written as things happen."""

import json
import time
from pathlib import Path
from typing import IO, Any


class Journal:
    """Files of rows; each row is on disk when `write` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, IO[str]] = {}

    def write(self, name: str, **row: Any) -> None:
        """Add a row to `<name>.jsonl`; `t` is now unless it is given."""
        if "t" not in row and "t0" not in row:
            row = {"t": time.time(), **row}
        file = self._open.get(name)
        if file is None:
            file = self._open[name] = (self.folder / f"{name}.jsonl").open("a", buffering=1)
        file.write(json.dumps(row, default=str) + "\n")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """What was written so far."""
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def close(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()
