"""What this machine has that runs may use: each may be missing, and then says what it would give."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `fix` when it is not well. Without what is `optional` all still works."""

    name: str
    well: bool
    found: str
    fix: str | None = None
    optional: bool = False


def equipment() -> Iterator[Check]:
    """A container engine, bubblewrap, apt, a GPU."""
    yield _engine()
    yield _bubblewrap()
    yield _apt()
    yield _gpu()


def _optional(name: str, found: str | None, missing: str, fix: str) -> Check:
    return Check(name, found is not None, found or missing, fix, optional=True)


def _engine() -> Check:
    from cynthus.containers.discovery import discover, sockets

    engine = discover(os.environ, timeout_s=_TIMEOUT_S)
    fix = "sudo apt install podman (or docker.io)   gives apt, Dockerfiles and base images"
    closed = [path for path in sockets(os.environ) if Path(path).exists() and not os.access(path, os.W_OK)]
    missing = "no Docker or Podman answers"
    if closed:
        missing = f"{closed[0]} is there, but not for you"
        fix = 'sudo usermod -aG docker "$USER", and log in again   gives apt, Dockerfiles and base images'
    return _optional("container", None if engine is None else engine.name, missing, fix)


def _bubblewrap() -> Check:
    path = shutil.which("bwrap")
    fix = "sudo apt install bubblewrap   keeps runs without a container away from your files"
    return _optional("bwrap", path, "not found", fix)


def _apt() -> Check:
    path = shutil.which("apt-get")
    fix = "a Debian or Ubuntu machine   builds apt = [...] layers; elsewhere use a Dockerfile"
    return _optional("apt", path, "not found", fix)


def _gpu() -> Check:
    program = shutil.which("nvidia-smi")
    fix = "install the NVIDIA driver if this machine has a GPU   runs with --gpu need one"
    if program is None:
        return _optional("gpu", None, "no NVIDIA driver", fix)
    query = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return _optional("gpu", None, "nvidia-smi does not answer", fix)
    found = "; ".join(line.replace(", ", ", driver ") for line in said.stdout.strip().splitlines())
    return _optional("gpu", found if said.returncode == 0 and found else None, "nvidia-smi finds no GPU", fix)
