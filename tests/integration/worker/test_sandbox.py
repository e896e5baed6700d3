"""What a program under bubblewrap can reach, and what is said of its end."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from cynthus.environments import sandbox
from cynthus.environments.interpreters import folder_of

pytestmark = pytest.mark.needs("bubblewrap")


class Said(NamedTuple):
    pid: int
    words: list[str]
    output: str
    code: int


class Place(NamedTuple):
    state: Path
    work: Path
    shown: Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    state = tmp_path / "state"
    for name in ("work", "shown", "secret"):
        (state / name).mkdir(parents=True)
        (state / name / "file").write_text(name)
    return Place(state, state / "work", state / "shown")


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    yield mine, its
    mine.close()


def run(
    place: Place,
    channel: tuple[socket.socket, socket.socket],
    program: str,
    *arguments: str,
    network: bool = True,
) -> Said:
    mine, its = channel
    os.set_inheritable(its.fileno(), True)
    command = sandbox.wrap(
        sandbox.below_first_process(program, [program, *arguments], its.fileno()),
        writable=[str(place.work)],
        readable=[str(place.shown), folder_of(PYTHON)],
        hidden=[str(place.state)],
        folder=str(place.work),
        network=network,
    )
    with subprocess.Popen(
        command,
        pass_fds=[its.fileno()],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "A": "ä"},
    ) as process:
        its.close()
        pid, words = 0, []
        while data := (answer := mine.recvmsg(200, 100))[0]:
            words.append(data.decode())
            if data == b"pid":
                pid = struct.unpack("3i", answer[1][0][2][:12])[0]
        assert process.stdout is not None
        output = process.stdout.read()
    return Said(pid, words, output, process.returncode)


PYTHON = os.path.realpath(sys.executable)


def python(place: Place, channel: tuple[socket.socket, socket.socket], script: str, **options: bool) -> Said:
    return run(place, channel, PYTHON, "-c", script, **options)


def test_bubblewrap_works_here() -> None:
    assert sandbox.trouble() is None
    assert sandbox.available()


def test_a_passing_trouble_takes_no_walls_away(tmp_path: Path) -> None:
    real = shutil.which("bwrap")
    moody = tmp_path / "bwrap"
    moody.write_text(
        f"#!/bin/sh\necho x >> {tmp_path}/tries\n"
        f'[ "$(wc -l < {tmp_path}/tries)" -gt 2 ] || {{ echo "a mount is gone" >&2; exit 1; }}\n'
        f'exec {real} "$@"\n'
    )
    moody.chmod(0o755)
    code = "from cynthus.environments import sandbox; print(sandbox.trouble(), sandbox.available())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "None True\n"
    assert (tmp_path / "tries").read_text() == "x\n" * 3


@pytest.mark.parametrize("code", [0, 1, 137, 143])
def test_an_exit_code_is_an_exit_code(
    place: Place, channel: tuple[socket.socket, socket.socket], code: int
) -> None:
    said = run(place, channel, "/bin/sh", "-c", f"exit {code}")

    ended = said.words[2].split()
    assert said.words[:2] == ["pid", "started"]
    assert os.waitstatus_to_exitcode(int(ended[1])) == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_death_by_a_signal_is_one(
    place: Place, channel: tuple[socket.socket, socket.socket], number: int
) -> None:
    said = run(place, channel, "/bin/sh", "-c", f"kill -{int(number)} $$")

    assert os.waitstatus_to_exitcode(int(said.words[2].split()[1])) == -number


@pytest.mark.parametrize(("program", "error"), [("/no/such", 2), ("/etc/passwd", 13), ("./script", 2)])
def test_a_program_that_cannot_be_executed_says_why(
    place: Place, channel: tuple[socket.socket, socket.socket], program: str, error: int
) -> None:
    script = place.work / "script"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)

    assert run(place, channel, program).words == ["pid", f"errno {error}"]


def test_the_announced_process_is_the_program_as_this_side_sees_it(
    place: Place, channel: tuple[socket.socket, socket.socket]
) -> None:
    script = "import os, time; print(os.getpid(), flush=True); os.close(1); time.sleep(1000)"
    mine, its = channel
    os.set_inheritable(its.fileno(), True)
    inside = sandbox.below_first_process(PYTHON, [PYTHON, "-c", script], its.fileno())
    command = sandbox.wrap(inside, readable=[folder_of(PYTHON)])
    with subprocess.Popen(command, pass_fds=[its.fileno()], stdout=subprocess.PIPE, text=True):
        its.close()
        pid = struct.unpack("3i", mine.recvmsg(200, 100)[1][0][2][:12])[0]
        assert mine.recv(200) == b"started"
        assert psutil.Process(pid).cmdline()[:2] == [PYTHON, "-c"]
        assert os.getpgid(pid) == pid
        os.killpg(pid, signal.SIGTERM)
        ended = mine.recv(200).split()
    assert os.waitstatus_to_exitcode(int(ended[1])) == -signal.SIGTERM


def test_what_a_program_leaves_behind_is_ended_and_counted(
    place: Place, channel: tuple[socket.socket, socket.socket]
) -> None:
    said = python(
        place,
        channel,
        "import os, time\nfor _ in range(3):\n"
        "    if os.fork() == 0:\n        os.setsid()\n        time.sleep(1000)\n",
    )

    assert said.words[2].split()[-1] == "3"


KERNEL = ("sys/kernel/core_pattern", "sysrq-trigger", "irq/default_smp_affinity")
LOOK = """
import json, os, socket
def tried(path, mode):
    try:
        with open(path, mode) as file: return file.read() if mode == 'r' else 'written'
    except OSError as error: return type(error).__name__
def connected(address):
    try: socket.create_connection(address, 1).close(); return True
    except OSError: return False
print(json.dumps({
    'environ': sorted(os.environ), 'a': os.environ['A'], 'fds': sorted(map(int, os.listdir('/proc/self/fd'))),
    'pid': [os.getpid(), os.getppid(), os.getsid(0) == os.getpid()], 'cwd': os.getcwd(),
    'state': sorted(os.listdir('STATE')), 'run': os.listdir('/run'), 'home': HOME and os.listdir(HOME),
    'shown': tried('STATE/shown/file', 'r'), 'shown_written': tried('STATE/shown/file', 'w'),
    'work': tried('file', 'w'), 'state_written': tried('STATE/new', 'w'),
    'shadow': tried('/etc/shadow', 'r'), 'etc': tried('/etc/cynthus', 'w'),
    'kernel': [tried('/proc/' + name, 'a') for name in KERNEL],
    'cgroup': tried('/sys/fs/cgroup/cynthus', 'w'),
    'disk': any(map(os.path.exists, ('/dev/vda', '/dev/sda'))),
    'status': dict(line.rstrip('\\n').split(':\\t') for line in open('/proc/self/status') if ':\\t' in line),
    'engine': any(map(os.path.exists, ('/var/run/docker.sock', '/run/docker.sock'))),
    'network': connected(('127.0.0.1', PORT)),
    'resolver': os.path.exists('/etc/resolv.conf'),
}))
"""


@pytest.mark.parametrize("network", [True, False])
def test_a_program_reaches_only_what_it_was_given(
    place: Place, channel: tuple[socket.socket, socket.socket], network: bool
) -> None:
    home = str(Path.home().resolve())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        script = LOOK.replace("STATE", str(place.state)).replace("PORT", str(listening.getsockname()[1]))
        said = python(
            place,
            channel,
            script.replace("HOME", repr(home)).replace("KERNEL", repr(KERNEL)),
            network=network,
        )
    seen = json.loads(said.output)

    assert set(seen["environ"]) <= {"PATH", "A", "LC_CTYPE"}
    assert (seen["a"], seen["cwd"], seen["pid"]) == ("ä", str(place.work), [2, 1, True])
    assert [number for number in seen["fds"] if number > 3] == []
    assert seen["state"] == ["shown", "work"]
    assert (seen["shown"], seen["work"]) == ("shown", "written")
    assert "written" not in {
        *(seen[name] for name in ("shown_written", "state_written", "etc", "cgroup")),
        *seen["kernel"],
    }
    assert not (place.shown / "new").exists()
    assert seen["shadow"] == "PermissionError"
    assert not set(seen["home"]) & {".ssh", ".bashrc", ".profile", ".cache", ".config"}
    assert [
        name for name in seen["run"] if name not in {"cynthus-first-process", "systemd", "resolvconf"}
    ] == []
    assert (seen["disk"], seen["engine"], seen["resolver"]) == (False, False, True)
    status = seen["status"]
    assert (int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"]) == (0, 0, "1")
    assert seen["network"] is network


def test_the_first_process_of_a_sandbox_does_nothing_where_it_is_not_the_first(place: Place) -> None:
    script = 'sleep 1000 & "$0" 9 /bin/true true; echo $?; kill -0 $! && echo alive; kill -9 $!'
    first = sandbox.below_first_process("/bin/true", ["true"], 9)[0]
    command = sandbox.wrap(["/bin/sh", "-c", script, first], writable=[str(place.work)])

    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)

    assert said.stdout.split() == ["125", "alive"]
