"""A service as a process that is started again when it ends, as any platform to run services does."""

import asyncio
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos.journal import Journal
from tests.chaos.processes import send, spawn

_LOOK_S = 0.1
_START_S = 60.0


class ServiceProcess:
    """`python -m cynthus.<name>`; `extra` goes with every start from now on."""

    def __init__(
        self,
        name: str,
        port: int,
        environment: Mapping[str, str],
        journal: Journal,
        *,
        command: Sequence[str] = (),
        health: str = "/health/ready",
    ) -> None:
        self.name = name
        self.port = port
        self.restart_after_s = 0.3
        self.extra: dict[str, str] = {}
        self.starts = 0
        self.environment = dict(environment)
        self._command = list(command) or [sys.executable, "-m", f"cynthus.{name}"]
        self._health = health
        self._journal = journal
        self._log = journal.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process now; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start it, and keep it started."""
        self._wanted = True
        self._launch()
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep())

    async def stop(self, timeout_s: float = 20.0) -> None:
        """SIGTERM, and wait; it is not started again."""
        self._wanted = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        for _ in range(round(timeout_s / _LOOK_S)):
            if self.pid is None:
                break
            await asyncio.sleep(_LOOK_S)
        else:
            self._journal.write("harness", what="not stopped by SIGTERM", service=self.name)
            self.signal(signal.SIGKILL)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def signal(self, number: signal.Signals) -> bool:
        """Signal it; False when it is not there."""
        pid = self.pid
        return pid is not None and send(pid, number)

    async def renew(self) -> None:
        """SIGTERM, and wait until it is started again, with what is `extra` now."""
        starts = self.starts
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        while self.starts == starts:
            await asyncio.sleep(_LOOK_S)

    async def ready(self) -> None:
        """Wait until it says so."""
        for _ in range(round(_START_S / _LOOK_S)):
            if await asyncio.to_thread(self._answers):
                return
            await asyncio.sleep(_LOOK_S)
        raise AssertionError(f"{self.name} is not ready: {_tail(self._log)}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self._health}", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self._process = spawn(self._command, {**self.environment, **self.extra}, log)
        self.starts += 1

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._wanted and self._process is not None and self._process.poll() is not None:
                self._journal.write(
                    "harness", what="service ended", service=self.name, code=self._process.returncode
                )
                await asyncio.sleep(self.restart_after_s)
                if self._wanted:
                    self._launch()


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-4000:] if path.exists() else "(no log)"
