"""A bell that users' programs ring when they run, and wait at until they may go."""

import socket
import socketserver
import threading
import time
from contextlib import suppress

PROGRAM = """
import os, socket
bell = socket.create_connection(("127.0.0.1", int(os.environ["BELL"])))
bell.sendall(f"{os.environ['CYNTHUS_RUN_ID']} {os.environ['CYNTHUS_ATTEMPT']}\\n".encode())
bell.recv(1)
"""


class Bell:
    """A port of this host; times are seconds of its wall clock. Use as a context manager."""

    def __init__(self):
        self.rung: dict[tuple[str, int], float] = {}
        self.left: dict[tuple[str, int], float] = {}
        """When a program was gone, by its own will or not."""
        self._doors: dict[tuple[str, int], socket.socket] = {}
        self._free: set[str] = set()
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Visit)
        self._server.bell = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What PROGRAM has to be told."""
        return {"BELL": str(self.port)}

    def wait(self, run: str, attempt: int, timeout_s: float = 300) -> float:
        """When the program of the attempt, or of a later one, rang first."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._rings(run, attempt), timeout_s):
                raise TimeoutError(f"attempt {attempt} of {run} does not run after {timeout_s:g} s")
            return min(self._rings(run, attempt))

    def _rings(self, run, attempt):
        return [at for (other, number), at in self.rung.items() if other == run and number >= attempt]

    def let_go(self, run: str) -> None:
        """Its programs, those that come later too, end well."""
        with self._changed:
            self._free.add(run)
            for (other, _), door in self._doors.items():
                if other == run:
                    with suppress(OSError):
                        door.sendall(b".")

    def visit(self, door: socket.socket) -> None:
        """One program, from its ring to its end."""
        said = door.makefile().readline().split()
        if len(said) != 2:
            return
        key = said[0], int(said[1])
        with self._changed:
            self.rung[key], self._doors[key] = time.time(), door
            if key[0] in self._free:
                door.sendall(b".")
            self._changed.notify_all()
        with suppress(OSError):
            door.recv(1)
        with self._changed:
            self.left[key] = time.time()
            del self._doors[key]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 100
    bell: Bell


class _Visit(socketserver.BaseRequestHandler):
    def handle(self):
        self.server.bell.visit(self.request)
