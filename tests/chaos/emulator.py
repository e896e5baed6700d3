"""The Pub/Sub emulator of one harness. It forgets everything when it is killed."""

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.chaos.processes import spawn
from tests.fixtures.needs import pubsub_emulator_jar

_START_S = 30.0


class Emulator:
    """Java, on one port for all its lives."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, also again, and wait until it listens."""
        jar = pubsub_emulator_jar()
        assert jar is not None, "the Pub/Sub emulator is not on this machine"
        with (self._folder / "emulator.log").open("ab") as log:
            command = [
                *("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m"),
                *(f"-Dchaos.folder={self._folder}/", "-jar", str(jar), "--host=127.0.0.1"),
                f"--port={self.port}",
            ]
            self._process = spawn(command, os.environ, log)
        for _ in range(round(_START_S / 0.05)):
            if self._listens():
                return
            assert self._process.poll() is None, "the Pub/Sub emulator ended at once"
            await asyncio.sleep(0.05)
        raise AssertionError("the Pub/Sub emulator does not listen")

    def kill(self) -> None:
        """End it without a word."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
