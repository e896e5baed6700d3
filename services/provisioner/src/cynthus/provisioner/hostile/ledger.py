"""What the provider did, one JSON object a line: the truth that outlives the provider."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class Ledger:
    """Append-only, one writer. A line that was cut off when the provider was killed was never said."""

    def __init__(self, file: Path, now: Callable[[], float]) -> None:
        """Raises OSError, also when another provider writes it."""
        self._file = file
        self._now = now
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        whole = file.read_bytes().rfind(b"\n") + 1
        os.truncate(self._descriptor, whole)

    def append(self, what: str, **facts: Any) -> Line:
        """Write a line with the time, in seconds of the wall clock; facts that are None are left out."""
        said = {name: fact for name, fact in facts.items() if fact is not None}
        line = {"t": self._now(), "what": what, **said}
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        return line

    def lines(self) -> Iterator[Line]:
        """Everything said so far."""
        with self._file.open("rb") as lines:
            for line in lines:
                yield json.loads(line)

    def close(self) -> None:
        """No more lines."""
        os.close(self._descriptor)
