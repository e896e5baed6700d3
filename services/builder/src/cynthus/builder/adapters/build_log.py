"""The words of a build, bounded: what a person is told at once, and the end kept as evidence."""

import re
from collections import deque
from collections.abc import Callable

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class BuildLog:
    """Takes a build's output in pieces; lines go to `report` until there are too many."""

    def __init__(
        self,
        report: Callable[[str], None] | None = None,
        *,
        most_lines: int = 50_000,
        most_length: int = 2000,
    ) -> None:
        self._report = report
        self._left = most_lines
        self._most_length = most_length
        self._kept: deque[str] = deque(maxlen=60)
        self._rest = ""
        self.understand: Callable[[str], str | None] = str
        """What a line of this builder means for people; None for nothing."""

    def add(self, text: str) -> None:
        """Take more of the output."""
        *whole, self._rest = (self._rest + text).split("\n")
        if len(self._rest) > self._most_length:
            whole.append(self._rest)
            self._rest = ""
        for line in whole:
            if (told := self.understand(self._clean(line))) and told.strip():
                self._tell(told)

    def end(self) -> None:
        """Take the last line, which may lack its end."""
        if self._rest:
            self.add("\n")

    def tail(self) -> tuple[str, ...]:
        """The last lines."""
        return tuple(self._kept)

    def _clean(self, line: str) -> str:
        line = _ESCAPE.sub("", line.rstrip().rpartition("\r")[2])
        return _CONTROL.sub("", line)[: self._most_length]

    def _tell(self, line: str) -> None:
        self._kept.append(line)
        if self._report is not None and self._left >= 0:
            self._report(line if self._left else "… the build says more than is kept")
        self._left -= 1
