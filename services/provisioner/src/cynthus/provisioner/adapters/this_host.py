"""What this machine has: processors, memory, container engines, GPUs."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cynthus.containers.discovery import sockets
from cynthus.provisioner.domain.host import CONTAINER, PROCESS, Gpu, Host

BUBBLEWRAP = "bubblewrap"
_NVIDIA_S = 5.0
_CONNECT_S = 0.2
_FRESH_S = 5.0
_DRIVER = re.compile(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s")
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look; `sockets` are those that container engines may listen on."""

    environment: Mapping[str, str]
    nvidia: Path = Path("/proc/driver/nvidia/version")
    sockets: Callable[[Mapping[str, str]], Iterator[str]] = sockets


class ThisHost:
    """Looks again after a few seconds, since an engine may have been installed or stopped meanwhile."""

    def __init__(self, places: Places | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._places = places or Places(os.environ)
        self._monotonic = monotonic
        self._seen: tuple[float, Host] | None = None
        self._nvidia: tuple[tuple[Gpu, ...], str | None] | None = None

    def look(self) -> Host:
        """What there is now; the first look at GPUs may take seconds."""
        now = self._monotonic()
        if self._seen is None or now - self._seen[0] > _FRESH_S:
            self._seen = (now, self._look())
        return self._seen[1]

    def _look(self) -> Host:
        gpus, driver = self._gpus()
        return Host(
            cpu=float(os.cpu_count() or 1),
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            runtimes=self.runtimes(),
            gpus=gpus,
            driver=driver,
        )

    def runtimes(self) -> frozenset[str]:
        """How programs can be run here."""
        environment = self._places.environment
        found = {PROCESS}
        if shutil.which("bwrap", path=environment.get("PATH")) is not None:
            found.add(BUBBLEWRAP)
        if any(_listens(path) for path in self._places.sockets(environment)):
            found.add(CONTAINER)
        return frozenset(found)

    def _gpus(self) -> tuple[tuple[Gpu, ...], str | None]:
        """What was found once stays; a driver that is loaded later is seen."""
        if self._nvidia is None:
            try:
                found = _DRIVER.search(self._places.nvidia.read_text())
            except OSError:
                return (), None
            told = _ask_nvidia(self._places.environment)
            self._nvidia = (told, found.group(1) if found else None)
        return self._nvidia


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(path)
        except OSError:
            return False
    return True


def _ask_nvidia(environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return ()
    try:
        answer = subprocess.run(
            [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_NVIDIA_S,
            check=False,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ()
    return tuple(_listed(answer.stdout)) if answer.returncode == 0 else ()


def _listed(text: str) -> Iterator[Gpu]:
    for line in text.splitlines():
        name, _, memory = line.rpartition(",")
        if name and memory.strip().isdecimal():
            yield Gpu(name.strip(), int(memory) * _MIB)
