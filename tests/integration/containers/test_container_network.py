"""A container reaches the world, but neither this machine nor what only this machine may reach."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.containers.conftest import Give
from tests.integration.worker.conftest import wait_for

pytestmark = [
    pytest.mark.needs("docker", "docker-registry", "mmdebstrap", "skopeo", "root"),
    pytest.mark.usefixtures("worker"),
]

METADATA = "169.254.169.254"
OUTSIDE, GATEWAY = "198.51.100.2", "198.51.100.1"
PROBE = r"""
import json, os, socket, sys
def reach(host, port):
    try:
        with socket.create_connection((host, port), timeout=1.5) as connection:
            return connection.recv(16).decode()
    except OSError as error:
        return type(error).__name__
def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(1)
        try:
            probe.sendto(b'x', (host, port))
            return probe.recv(16).decode()
        except OSError as error:
            return type(error).__name__
def gateway():
    for line in open('/proc/net/route').read().splitlines()[1:]:
        fields = line.split()
        if fields[1] == '00000000':
            return '.'.join(str(b) for b in reversed(bytes.fromhex(fields[2])))
targets = json.loads(sys.argv[1])
found = {place: reach(*place.rsplit(':', 1)) for place in targets}
found['gateway'] = reach(gateway(), int(sys.argv[2])) if gateway() else 'no way out'
found['docker'] = reach(gateway(), 2375) if gateway() else 'no way out'
found['sockets'] = [p for p in ('/var/run/docker.sock', '/run/docker.sock', '/run/podman/podman.sock')
                    if os.path.exists(p)]
print(json.dumps(found))
"""


@contextmanager
def says_hello(host: str) -> Iterator[int]:
    """A port on this machine that greets whoever connects."""
    with socket.create_server((host, 0)) as server:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"hello")

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        stop.set()
        server.shutdown(socket.SHUT_RDWR)


def greeted(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=5) as connection:
        return connection.recv(16) == b"hello"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture
def metadata() -> Iterator[int]:
    """Something that answers at the metadata address, as seen from this machine."""
    ip("address", "add", f"{METADATA}/32", "dev", "lo")
    try:
        with says_hello(METADATA) as port:
            assert greeted(METADATA, port)
            yield port
    finally:
        ip("address", "del", f"{METADATA}/32", "dev", "lo")


@pytest.fixture
def outside() -> Iterator[int]:
    """Another machine: a network namespace behind this one."""
    serve = (
        "import socket\ns = socket.create_server(('0.0.0.0', 8080))\n"
        "while True:\n    c, _ = s.accept(); c.sendall(b'world'); c.close()\n"
    )
    ip("netns", "add", "cyn-test")
    try:
        ip("link", "add", "cyn-test0", "type", "veth", "peer", "name", "cyn-test1", "netns", "cyn-test")
        ip("address", "add", f"{GATEWAY}/24", "dev", "cyn-test0")
        ip("link", "set", "cyn-test0", "up")
        ip("-n", "cyn-test", "address", "add", f"{OUTSIDE}/24", "dev", "cyn-test1")
        ip("-n", "cyn-test", "link", "set", "cyn-test1", "up")
        server = subprocess.Popen(["ip", "netns", "exec", "cyn-test", sys.executable, "-c", serve])
        try:
            wait_for(lambda: _open(OUTSIDE, 8080))
            yield 8080
        finally:
            server.kill()
            server.wait(10)
    finally:
        ip("netns", "del", "cyn-test")
        subprocess.run(["ip", "link", "del", "cyn-test0"], check=False, capture_output=True)


def _open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_container_reaches_the_world_but_nothing_of_its_machine(
    give: Give, metadata: int, outside: int
) -> None:
    address = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    with says_hello("0.0.0.0") as port:
        hosts = [host for host in [*address, GATEWAY] if ":" not in host]
        assert all(greeted(host, port) for host in hosts)
        closed = [f"{METADATA}:{metadata}", "127.0.0.1:1", *(f"{host}:{port}" for host in hosts)]
        targets = json.dumps([*closed, f"{OUTSIDE}:{outside}"])
        given = give(PROBE, image={"command": ["python3.11", "main.py", targets, str(port)]})
        assert given.result["exit_code"] == 0, given.text("stderr")

    found = json.loads(given.text())

    assert found.pop(f"{OUTSIDE}:{outside}") == "world"
    assert found.pop("sockets") == []
    assert len(found) >= 5
    assert set(found.values()) <= {"TimeoutError", "ConnectionRefusedError", "OSError"}, found
    assert found["gateway"] == "TimeoutError"


def test_a_container_without_a_network_reaches_nothing(give: Give, outside: int) -> None:
    targets = json.dumps([f"{OUTSIDE}:{outside}", f"{METADATA}:80"])
    given = give(PROBE, image={"command": ["python3.11", "main.py", targets, "1"]}, network="none")

    assert given.result["exit_code"] == 0, given.text("stderr")
    found = json.loads(given.text())
    assert found[f"{OUTSIDE}:{outside}"] == "OSError"
    assert found["gateway"] == "no way out"
