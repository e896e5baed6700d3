"""Progress on stderr: signs and a moving line for people, dated lines for machines."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from cynthus.cli import units
from cynthus.cli.terminal import Terminal

_FRAME_S = 0.1
_BEAT_S = 60.0
_LABEL = 9
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Reporter:
    """Says what happens. `quiet` leaves only warnings."""

    def __init__(
        self,
        terminal: Terminal,
        *,
        stream: TextIO | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.terminal = terminal
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._clock = clock
        self._now = now
        self._moving = False
        self._drawn = self._said = clock()
        self._frame = 0
        self.mid_line = False
        """The program's last output ended inside a line on this same screen."""

    def row(self, label: str, text: str) -> None:
        """A line of the plan; further lines of `text` stand under the first."""
        first, *rest = text.split("\n")
        self._line(f"  {self.terminal.dim(f'{label:{_LABEL}}')} {first}", f"{label} {first}")
        for line in rest:
            self._line(f"  {'':{_LABEL}} {line}", f"{label} {line}")

    def done(self, label: str, text: str = "", seconds: float | None = None) -> None:
        """Something is finished."""
        took = "" if seconds is None else units.duration(seconds)
        sign = self.terminal.green("✔" if self.terminal.unicode else "ok")
        width = max(0, min(self.terminal.width, 88) - _LABEL - 4 - len(took))
        self._line(
            f"{sign} {label:{_LABEL}} {text:{width}} {took}".rstrip(), f"{label} {text} {took}".rstrip()
        )

    def failed(self, label: str, text: str) -> None:
        """Something ended badly."""
        sign = self.terminal.red("✘" if self.terminal.unicode else "x")
        self._line(f"{sign} {label:{_LABEL}} {text}".rstrip(), f"{label} {text}".rstrip())

    def note(self, text: str) -> None:
        """A line by the way."""
        self._line(f"  {text}", text)

    def warn(self, text: str) -> None:
        """What the user should know even when he asked for quiet."""
        line = f"{self.terminal.yellow('warning:')} {text}"
        self._write(line if not self.terminal.plain else f"{self._date()} warning: {text}")

    def doing(self, label: str, text: Callable[[], str]) -> None:
        """Redraw the moving line, at most ten times a second; in plain mode a sign of life each minute."""
        now = self._clock()
        if self._quiet:
            return
        if self.terminal.live and now - self._drawn >= _FRAME_S and not self.mid_line:
            self._draw(label, text())
            self._drawn = now
        elif self.terminal.plain and now - self._said >= _BEAT_S:
            self._line("", f"{label} {text()}".rstrip())

    def clear(self) -> None:
        """Take the moving line away, so that others can write."""
        if self._moving:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._moving = False

    def _draw(self, label: str, text: str) -> None:
        self._frame += 1
        sign = _SPINNER[self._frame % len(_SPINNER)] if self.terminal.unicode else "-"
        line = f"{sign} {label:{_LABEL}} {text}"[: self.terminal.width - 1]
        self._stream.write(f"\r\x1b[2K{line}")
        self._stream.flush()
        self._moving = True

    def _line(self, pretty: str, plain: str) -> None:
        if not self._quiet:
            self._write(f"{self._date()} {plain}" if self.terminal.plain else pretty)

    def _write(self, line: str) -> None:
        self.clear()
        if self.mid_line:
            self._stream.write("\n")
            self.mid_line = False
        self._stream.write(line + "\n")
        self._stream.flush()
        self._said = self._clock()

    def _date(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
