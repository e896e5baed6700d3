import http.server
import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cynthus.containers.discovery import connect, discover, sockets
from cynthus.containers.engine import Credentials, Engine
from cynthus.containers.errors import EngineUnavailable, PullRefused
from cynthus.containers.transport import Transport


@contextmanager
def answering(path: Path, answers: dict[str, tuple[int, bytes]]) -> Iterator[list[dict[str, str]]]:
    """Something at a Unix socket that answers; the headers of what it was asked."""
    asked: list[dict[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append({"path": self.path, **self.headers})
            status, body = answers.get(self.path.partition("?")[0], (404, b'{"message": "no"}'))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None:
            return

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
        thread.start()
        yield asked
        server.shutdown()
        thread.join()


def info(**more: Any) -> dict[str, tuple[int, bytes]]:
    return {"/info": (200, json.dumps({"ServerVersion": "1", **more}).encode())}


def test_docker_and_podman_are_told_apart(tmp_path: Path) -> None:
    with answering(tmp_path / "d", info(SecurityOptions=["name=rootless"], CgroupVersion="2")):
        docker = connect(str(tmp_path / "d"))
    with answering(tmp_path / "p", info(BuildahVersion="1.28")):
        podman = connect(str(tmp_path / "p"))

    assert (docker.kind, docker.rootless, docker.cgroup_version) == ("docker", True, "2")
    assert (podman.kind, podman.rootless) == ("podman", False)


def test_an_explicit_engine_rules_out_the_others() -> None:
    assert list(sockets({"DOCKER_HOST": "unix:///x.sock"})) == ["/x.sock"]
    assert list(sockets({"DOCKER_HOST": "tcp://1.2.3.4:2375"})) == []
    assert "/run/u/podman/podman.sock" in sockets({"XDG_RUNTIME_DIR": "/run/u"})


def test_a_socket_without_an_engine_is_no_engine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert discover({"DOCKER_HOST": f"unix://{tmp_path}/file"}) is None
    with answering(tmp_path / "s", {"/info": (200, b"[1]")}):
        assert discover({"DOCKER_HOST": f"unix://{tmp_path}/s"}) is None


def test_an_engine_that_hangs_is_unavailable_and_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        engine = Engine(Transport(str(tmp_path / "s"), 0.2), "docker", {})
        begun = time.monotonic()

        with pytest.raises(EngineUnavailable):
            engine.containers({"a": "b"})
        assert engine.wait("x", 0.2) is None
        assert time.monotonic() - begun < 5


def test_a_pull_that_fails_midway_says_why(tmp_path: Path) -> None:
    lines = b'{"status": "Pulling"}\n{"errorDetail": {}, "error": "manifest unknown"}\n'
    with answering(tmp_path / "s", {"/images/create": (200, lines)}) as asked:
        engine = Engine(Transport(str(tmp_path / "s")), "docker", {})

        with pytest.raises(PullRefused, match="manifest unknown"):
            engine.pull("h/r@sha256:0", Credentials("h", "me", "hidden"))

    assert "X-Registry-Auth" in asked[0]
    assert "hidden" not in asked[0]["path"]


def test_credentials_are_never_shown() -> None:
    assert "hidden" not in repr(Credentials("h", "me", "hidden"))
