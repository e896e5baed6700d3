"""What the kernel says about processes it killed, where its log can be read."""

import os
import re
from collections.abc import Iterable

_RECORD_BYTES = 8192
_MOST_RECORDS = 100_000
_KILLED = re.compile(r"\bKilled process (\d+)\b")
_CONSTRAINED = re.compile(r"\boom-kill:.*\btask_memcg=([^,\s]+).*\bpid=(\d+)")
_LINE_CHARACTERS = 300


class KernelLog:
    """From now on."""

    def __init__(self, path: str) -> None:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError:
            self._file = -1

    def killed(self, pids: Iterable[int], cgroup: str) -> tuple[str, ...]:
        """One line for each of these processes, or of any in a cgroup of this name, that was killed since."""
        ours, said = set(pids), dict[int, str]()
        for line in self._lines():
            constrained = _CONSTRAINED.search(line)
            if constrained and cgroup in constrained[1].split("/"):
                ours.add(int(constrained[2]))
            killed = _KILLED.search(line)
            if killed and int(killed[1]) in ours:
                said[int(killed[1])] = f"kernel: {line[:_LINE_CHARACTERS]}"
        return tuple(said.values())

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _lines(self) -> Iterable[str]:
        for _ in range(_MOST_RECORDS if self._file >= 0 else 0):
            try:
                data = os.read(self._file, _RECORD_BYTES)
            except BrokenPipeError:
                continue  # records were overwritten before they were read
            except OSError:
                return
            if not data:
                return
            for line in data.decode(errors="replace").splitlines():
                yield line.partition(";")[2] or line
