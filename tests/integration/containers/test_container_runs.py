"""What a program in a container sees, does and leaves, told by the platform's side."""

import json
import signal
import time
from collections.abc import Callable

import pytest

from cynthus.containers.engine import Engine
from cynthus.containers.errors import ImageUnknown
from cynthus.containers.labels import HOME
from tests.fixtures.base_image import BaseImage
from tests.fixtures.environment_image import push_image
from tests.fixtures.platform_for_workers import PlatformForWorkers
from tests.fixtures.registry import RunningRegistry
from tests.integration.containers.conftest import Give
from tests.integration.worker.conftest import Worker, wait_for

pytestmark = [
    pytest.mark.needs("docker", "docker-registry", "mmdebstrap", "skopeo", "root"),
    pytest.mark.usefixtures("worker"),
]


def test_a_program_runs_and_its_log_and_outputs_arrive(platform: PlatformForWorkers, give: Give) -> None:
    given = give(
        "import os, sys\nprint('hello')\nprint('oh', file=sys.stderr)\n"
        "open(os.environ['CYNTHUS_OUTPUT_DIR'] + '/result.txt', 'w').write('42')\n"
    )

    result = given.result

    assert (result["exit_code"], result["signal"], result["cause"]) == (0, None, None), result
    assert (given.text("stdout"), given.text("stderr")) == (b"hello\n", b"oh\n")
    assert platform.outputs(given) == {"result.txt": b"42"}
    assert given.started[0]["phases_ms"].keys() == {"environment", "source", "data", "spawn"}
    assert result["peak_memory_bytes"] > 1_000_000


def test_every_byte_of_a_log_arrives_as_it_was_written(give: Give) -> None:
    given = give(
        "import os\nos.write(1, bytes(range(256)) * 300)\n"
        "os.write(1, b'\\n\\n\\0last')\nos.write(2, b'\\xf0\\x9f')"
    )

    assert given.result["exit_code"] == 0
    assert given.text("stdout") == bytes(range(256)) * 300 + b"\n\n\0last"
    assert given.text("stderr") == b"\xf0\x9f"


def test_a_hundred_megabytes_of_log_arrive(give: Give) -> None:
    given = give(
        "import os\nline = b'x' * 999 + b'\\n'\nfor _ in range(100):\n    os.write(1, line * 1000)\n"
    )

    assert given.result["exit_code"] == 0
    assert given.size("stdout") == 100_000_000
    assert set(given.text()) == set(b"x\n")


def test_what_has_no_end_of_line_yet_is_shipped_within_a_second(give: Give) -> None:
    given = give("import os, time\nos.write(1, b'50%\\r')\ntime.sleep(1000)\n")

    given.wait_for_text(b"50%\r")
    given.stop = "cancelled"
    assert given.result["cause"]["code"] == "cancelled"


@pytest.mark.parametrize("code", [1, 137, 143, 255])
def test_an_exit_code_is_not_taken_for_a_signal(give: Give, code: int) -> None:
    result = give(f"raise SystemExit({code})").result

    assert (result["exit_code"], result["signal"], result["cause"]["code"]) == (code, None, "user_exit")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_a_program_killed_by_a_signal_is_reported_so(give: Give, number: int) -> None:
    result = give(f"import os\nos.kill(os.getpid(), {number})").result

    assert (result["exit_code"], result["signal"], result["cause"]["code"]) == (None, number, "signal")


def test_a_program_over_its_memory_is_told_from_a_killed_one(give: Give) -> None:
    given = give(
        "blocks = []\nwhile True: blocks.append(bytearray(8 * 1024 * 1024))",
        resources={"memory_bytes": 100 * 1024 * 1024},
    )

    cause = given.result["cause"]

    assert (cause["code"], cause["signal"]) == ("oom", signal.SIGKILL)
    assert "--memory" in cause["fix"]


def test_a_fork_bomb_hits_its_limit_and_the_worker_goes_on(give: Give) -> None:
    given = give(
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0: time.sleep(1000)\n"
        "        made += 1\n"
        "except OSError as error:\n"
        "    print(made, error.errno, flush=True)\n"
        "time.sleep(1.5)\n"
    )

    assert given.result["exit_code"] == 0
    made, number = given.text().split()
    assert 400 < int(made) < 512
    assert int(number) == 11
    assert len(given.beats) >= 3


LOOK = r"""
import json, os, socket
def read(path):
    try: return open(path).read()
    except OSError as error: return error.strerror
def write(path):
    try: open(path, 'w').write('x'); return 'written'
    except OSError as error: return error.strerror
status = dict(line.split(':\t', 1) for line in read('/proc/self/status').splitlines() if ':\t' in line)
PLACES = ('/', '/usr', '/etc', '/var', '/tmp', '/app', '/dev/shm', '/run/cynthus')
print(json.dumps({
    'capabilities': [status[n] for n in ('CapEff', 'CapPrm', 'CapInh', 'CapBnd', 'CapAmb')],
    'nnp': status['NoNewPrivs'], 'seccomp': status['Seccomp'], 'uid': os.getuid(), 'gid': os.getgid(),
    'writes': {p: write(p + '/probe') for p in PLACES},
    'data': [read('data/table.csv'), write('data/table.csv'), write('data/new')],
    'environ': dict(os.environ), 'init': read('/proc/1/environ'), 'fds': sorted(os.listdir('/proc/self/fd')),
    'cwd': os.getcwd(), 'socket': os.path.exists('/var/run/docker.sock'),
    'session': os.getsid(0) == os.getpid(),
}))
"""


def test_a_program_has_no_privilege_and_writes_only_where_it_may(
    platform: PlatformForWorkers, give: Give
) -> None:
    data = platform.snapshot({"table.csv": "a,b\n"})
    given = give(LOOK, data=[{"mount": "data", "manifest": data}], secrets={"KEY": "canary-71"})

    assert given.result["exit_code"] == 0, given.text("stderr")
    seen = json.loads(given.text())
    assert [int(value, 16) for value in seen["capabilities"]] == [0, 0, 0, 0, 0]
    assert (seen["nnp"], seen["seccomp"], seen["uid"], seen["gid"]) == ("1", "2", 1000, 1000)
    written = {path for path, outcome in seen["writes"].items() if outcome == "written"}
    assert written == {"/tmp", "/app", "/dev/shm"}
    assert seen["data"] == ["a,b\n", "Permission denied", "Read-only file system"] or seen["data"] == [
        "a,b\n",
        "Read-only file system",
        "Read-only file system",
    ]
    assert seen["environ"]["CYNTHUS_DATA_DIR"] == "/app/data"
    assert seen["environ"]["KEY"] == "canary-71"
    assert "canary-71" not in seen["init"]
    assert seen["cwd"] == "/app"
    assert seen["fds"] == ["0", "1", "2", "3"]
    assert seen["session"]
    assert not seen["socket"]


def test_neither_secrets_nor_tokens_are_known_to_the_engine(
    give: Give, engine: Engine, worker: Worker
) -> None:
    given = give("import time\nprint('ready', flush=True)\ntime.sleep(1000)", secrets={"KEY": "canary-72"})
    given.wait_for_text(b"ready")
    (container,) = engine.containers({HOME: str(worker.home.resolve())})

    told = json.dumps(engine.inspect(container.id))

    assert "canary-72" not in told
    assert given.order["token"] not in told
    for path in worker.home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            assert b"canary-72" not in data
            assert given.order["token"].encode() not in data
    given.stop = "cancelled"
    assert given.result["cause"]["code"] == "cancelled"


def test_data_beside_the_project_appears_beside_it(platform: PlatformForWorkers, give: Give) -> None:
    one = platform.snapshot({"part.bin": "123"})
    many = platform.snapshot({"x/a": "1", "x/b": "2"})
    given = give(
        "import os\nprint(open('../inputs/part.bin').read(), sorted(os.listdir('deep/er/x')))",
        data=[{"mount": "../inputs/part.bin", "manifest": one}, {"mount": "deep/er", "manifest": many}],
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert given.text() == b"123 ['a', 'b']\n"


@pytest.mark.parametrize("mount", ["/etc", "..", ".", "../proc/x", "../run/cynthus", "../../app"])
def test_data_never_covers_what_is_not_its_own(platform: PlatformForWorkers, give: Give, mount: str) -> None:
    data = platform.snapshot({"a": "1", "b": "2"})

    cause = give("print(1)", data=[{"mount": mount, "manifest": data}]).result["cause"]

    assert cause["code"] == "order_invalid"


def test_a_program_that_is_not_there_is_named(give: Give) -> None:
    given = give("", image={"command": ["no-such-program", "x"]})

    assert given.result["cause"]["code"] == "command_not_found"
    assert "no-such-program" in given.result["cause"]["message"]
    assert not given.started


def test_a_program_that_cannot_be_executed_is_named(give: Give) -> None:
    given = give("", files={"plain": "x"}, image={"command": ["./plain"]})
    missing = give("", files={"run.sh": "#!/no/such/shell\n"}, image={"command": ["./run.sh"]})

    assert given.result["cause"]["code"] == "command_not_executable"
    assert missing.result["cause"]["code"] == "interpreter_missing"


def test_a_script_of_the_project_can_be_the_program(give: Give) -> None:
    given = give("", files={"run.sh": "#!/bin/sh\necho $0 $1\n"}, image={"command": ["./run.sh", "a b"]})

    assert given.result["exit_code"] == 0
    assert given.text() == b"./run.sh a b\n"


STUBBORN = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: print('not me', flush=True))\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(0.1)\n"
)


def test_a_cancelled_program_is_asked_first(platform: PlatformForWorkers, give: Give) -> None:
    given = give(
        "import signal, sys, time\n"
        "def leave(*_):\n    open('outputs/saved', 'w').write('state')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\nprint('ready', flush=True)\nwhile True: time.sleep(0.1)\n"
    )
    given.wait_for_text(b"ready")
    given.stop = "cancelled"

    assert (given.result["cause"]["code"], given.result["exit_code"]) == ("cancelled", 0)
    assert platform.outputs(given) == {"saved": b"state"}


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(give: Give) -> None:
    given = give(STUBBORN, grace_s=0.5)
    given.wait_for_text(b"ready")
    given.stop = "cancelled"

    assert (given.result["cause"]["code"], given.result["signal"]) == ("cancelled", signal.SIGKILL)
    assert b"not me" in given.text()


def test_a_program_over_its_time_is_stopped(give: Give) -> None:
    result = give(STUBBORN, timeout_s=1.5, grace_s=0.3).result

    assert result["cause"]["code"] == "timeout"
    assert 1.7 < result["seconds"] < 6


def test_a_program_is_ended_before_its_lease_is_over(
    platform: PlatformForWorkers, give: Give, engine: Engine, worker: Worker
) -> None:
    given = give("import time\nprint('ready', flush=True)\ntime.sleep(1000)", lease_s=3.0, next_beat_s=0.2)
    given.wait_for_text(b"ready")
    (container,) = engine.containers({HOME: str(worker.home.resolve())})
    begun = time.monotonic()
    platform.away = True

    wait_for(lambda: not engine.containers({HOME: str(worker.home.resolve())}))
    assert time.monotonic() - begun < 3.0
    platform.away = False
    assert container.status == "running"
    assert give("print('next')").result["exit_code"] == 0
    assert not given.finished


def test_a_missing_image_is_named(give: Give) -> None:
    given = give("print(1)", image={"environment": "sha256:" + "0" * 64})

    assert given.result["cause"]["code"] == "image_missing"


def test_the_worker_says_which_engine_it_has(platform: PlatformForWorkers, worker: Worker) -> None:
    assert platform.greeted.wait(10)
    assert set(platform.hellos[0]["runtimes"]) >= {"process", "docker"}


def test_a_machine_without_an_engine_is_named(
    platform: PlatformForWorkers, give: Give, start_worker: Callable[..., Worker], worker: Worker
) -> None:
    wait_for(lambda: ("POST", "/worker/v1/orders:next") in platform.requests)
    assert worker.end() == 0
    start_worker(DOCKER_HOST="unix:///nowhere.sock")
    given = give("print(1)")

    assert given.result["cause"]["code"] == "no_container_engine"
    assert "docker" not in platform.hellos[-1]["runtimes"]


def test_a_foreign_image_runs_with_a_private_copy_of_its_own_folder(
    platform: PlatformForWorkers, give: Give, base_image: BaseImage, registry: RunningRegistry
) -> None:
    script = (
        "import os\nprint(os.getcwd(), os.getuid(), os.environ['OWN'], len(os.listdir('.')) > 1)\n"
        "open('useradd', 'a').write('x')\nos.makedirs('outputs', exist_ok=True)\n"
        "open(os.environ['CYNTHUS_OUTPUT_DIR'] + '/a', 'w').write('1')"
    )
    execution = {
        "WorkingDir": "/etc/default",
        "User": "0:0",
        "Env": ["PATH=/usr/bin:/bin", "OWN=1"],
        "Entrypoint": ["python3.11", "-c"],
        "Cmd": [script],
    }
    digest = push_image(base_image, registry, "tests/foreign", execution)
    image = {"kind": "dockerfile", "repository": "tests/foreign", "digest": digest, "command": []}
    given = give("", image={**image, "environment": None})

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert given.text() == b"/etc/default 1000 1 True\n"
    assert platform.outputs(given) == {"a": b"1"}


def test_a_foreign_image_without_a_folder_is_told_what_it_needs(
    give: Give, base_image: BaseImage, registry: RunningRegistry
) -> None:
    digest = push_image(base_image, registry, "tests/bare", {"Cmd": ["true"]})
    image = {"kind": "dockerfile", "repository": "tests/bare", "digest": digest, "command": []}

    cause = give("", image={**image, "environment": None}).result["cause"]

    assert cause["code"] == "order_invalid"
    assert "WORKDIR" in cause["message"]


def test_an_image_is_fetched_before_anybody_asks(
    platform: PlatformForWorkers,
    start_worker: Callable[..., Worker],
    worker: Worker,
    engine: Engine,
    base_image: BaseImage,
    registry: RunningRegistry,
) -> None:
    digest = push_image(base_image, registry, "tests/ahead", {"Labels": {"for": registry.host}})
    wanted = {"url": registry.url, "username": "", "password": "", "repository": "tests/ahead"}
    platform.prepull = [{**wanted, "digest": digest}]

    def is_here() -> bool:
        try:
            return bool(engine.image(f"{registry.host}/tests/ahead@{digest}"))
        except ImageUnknown:
            return False

    assert not is_here()
    start_worker()

    wait_for(is_here)
