"""Peers from PyPI, each in a virtual environment of its own that stays between runs."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

CACHE = Path(os.environ.get("CYNTHUS_BENCH_CACHE") or Path.home() / ".cache" / "cynthus-bench")
REQUIREMENTS = {"dstack": "dstack[server]==0.22.5", "modal": "modal==1.6.4", "ray": "ray[default]==2.60.0"}
CYNTHUS = Path(sys.executable).with_name("cynthus")
BASE = getattr(sys, "_base_executable", sys.executable)


@cache
def plain_python() -> Path:
    """An interpreter with nothing installed, as a run's own environment has: the floor."""
    python = CACHE / "plain" / "bin" / "python"
    if not python.exists():
        _uv("venv", "--clear", "--python", BASE, str(CACHE / "plain"))
    return python


@cache
def peer(name: str) -> Path | None:
    """The peer's bin folder; None, with the reason on stderr, where it cannot be installed."""
    requirement = REQUIREMENTS[name]
    home = CACHE / name
    installed = home / "installed"
    if not installed.exists() or installed.read_text() != requirement:
        try:
            _uv("venv", "--clear", "--python", BASE, str(home))
            _uv("pip", "install", "--compile-bytecode", "--python", str(home), requirement)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            print(f"{requirement} is absent: {said.strip()[-500:]}", file=sys.stderr)
            return None
        installed.write_text(requirement)
    return home / "bin"


def _uv(*arguments: str) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [Path(sys.executable).with_name("uv"), "--quiet", *arguments],
        env={**os.environ, "UV_SYSTEM_CERTS": "1"},
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )
