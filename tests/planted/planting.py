"""A scratch copy of the code with one line changed, and what a suite says of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
_COPIED = ("shared", "services", "worker", "cli", "embedded", "tests", "pyproject.toml")
_LEFT = shutil.ignore_patterns("__pycache__", "*.egg-info", ".pytest_cache")
_SHOWN_LINES = 3

_TRIED = re.compile(r"^(\d+) seeds, ", re.MULTILINE)
_TELLING = re.compile(r"^seed \d+ failed|^FAILED |^E  ")

SIMULATION = ("-m", "tests.simulation", "--seeds", "{seeds}")
SEEDS = 1000
"""As many as every change of the code has to pass."""


def by_chaos(fault: int, seed: int = 1) -> tuple[str, ...]:
    """A catcher: the real stack under one kind of fault for a short time."""
    short = ("--minutes", "0.4", "--in-flight", "24", "--lease", "8", "--min", "5")
    return ("-m", "tests.chaos", "--seed", str(seed), "--fault", str(fault), *short)


def by_test(file: str, name: str = "") -> tuple[str, ...]:
    """A catcher: the tests of a file, or those of them whose name contains `name`."""
    chosen = ("-k", name) if name else ()
    return ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen, file)


class NotPlanted(Exception):
    """The line to change is not there, or there more than once: the list of bugs is out of date."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One wrong line. `catcher` is what must fail: arguments of Python, run in the scratch copy.

    `also` is a test that fails as well: a second line, and the first where it says what is wrong. `twin` is a
    file in which the same line is made wrong too: the model that takes the same decision.
    """

    name: str
    what: str
    file: str
    right: str
    wrong: str
    catcher: tuple[str, ...] = field(default=SIMULATION)
    also: tuple[str, ...] = ()
    twin: str = ""

    @property
    def suite(self) -> str:
        """The suite that must find it, for people."""
        if self.catcher[:2] == SIMULATION[:2]:
            return "simulation"
        if self.catcher[1] == "tests.chaos":
            fault = self.catcher[self.catcher.index("--fault") + 1]
            return f"chaos, fault {fault}"
        return _test(self.catcher)

    @property
    def second(self) -> str:
        """The test that fails as well, for people."""
        return _test(self.also)


def _test(catcher: Sequence[str]) -> str:
    return next((part for part in catcher if part.startswith("tests/")), "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a bug was found, in how many seconds, and what the suite said last."""

    bug: Bug | None
    caught: bool
    seconds: float
    said: str
    seeds: int | None = None

    @property
    def effort(self) -> str:
        """What it took: `3 seeds`, or `1 test`."""
        if self.seeds is None:
            one = "1 run" if self.bug is not None and "chaos" in self.bug.suite else "1 test"
            return one if self.caught else ""
        return f"{self.seeds} seed{'s' * (self.seeds != 1)}"


@contextmanager
def scratch(code: Path = ROOT) -> Iterator[Path]:
    """A copy of the code that is gone afterwards. Of a copy, when the code may change meanwhile."""
    with TemporaryDirectory(prefix="cynthus-planted-") as folder:
        for name in _COPIED:
            source, target = code / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=_LEFT, symlinks=True)
            else:
                shutil.copy2(source, target)
        yield Path(folder)


def plant(folder: Path, bug: Bug) -> None:
    """Change the line. Raises NotPlanted."""
    for name in filter(None, (bug.file, bug.twin)):
        file = folder / name
        text = file.read_text() if file.exists() else ""
        if text.count(bug.right) != 1:
            raise NotPlanted(f"{bug.name}: the line is {text.count(bug.right)} times in {name}")
        file.write_text(text.replace(bug.right, bug.wrong))


def judge(folder: Path, bug: Bug | None, catcher: Sequence[str], *, seeds: int, limit_s: float) -> Verdict:
    """Run a suite in the copy; a suite that does not end has found the bug as well."""
    command = [sys.executable, *(part.format(seeds=seeds) for part in catcher)]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=limit_s)
        caught = process.returncode != 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        said, caught = f"{said}\nit did not end within {limit_s:g} s", True
    tried = _TRIED.search(said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)] or lines[-_SHOWN_LINES:]
    seeds_tried = int(tried[1]) if tried else None
    return Verdict(bug, caught, time.monotonic() - began, " | ".join(telling), seeds_tried)


def _environment(folder: Path) -> dict[str, str]:
    """The copy's packages come before the installed ones."""
    packages = [*folder.glob("*/src"), *folder.glob("services/*/src")]
    paths = [str(folder), *(str(package) for package in packages)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
