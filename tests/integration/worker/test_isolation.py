import json
from pathlib import Path

import pytest

from cynthus.worker.orders import OrderInvalid, read_order
from tests.fixtures.platform_for_workers import MACHINE_TOKEN, PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker, Worker

pytestmark = BOTH_WAYS

LOOK = (
    "import glob, json, os\n"
    "def read(path):\n"
    "    try: return open(path, 'rb').read().decode(errors='replace')\n"
    "    except OSError: return ''\n"
    "me = '/proc/self/'\n"
    "chain, pid = [], os.getppid()\n"
    "while pid > 1 and len(chain) < 2:\n"
    "    chain.append(read(f'/proc/{pid}/environ') + read(f'/proc/{pid}/cmdline'))\n"
    "    pid = int(read(f'/proc/{pid}/stat').rpartition(')')[2].split()[1])\n"
    "print(json.dumps({\n"
    "    'environ': dict(os.environ), 'raw': read('/proc/self/environ'),\n"
    "    'cmdline': read('/proc/self/cmdline'),\n"
    "    'parents': chain, 'fds': sorted(int(n) for n in os.listdir('/proc/self/fd')),\n"
    "    'stdin': os.readlink('/proc/self/fd/0'), 'cwd': os.getcwd(),\n"
    "    'session': os.getsid(0) == os.getpid(), 'group': os.getpgid(0) == os.getpid(),\n"
    "    'sigpipe': read('/proc/self/status').split('SigIgn:')[1].split()[0],\n"
    "}))\n"
)


def test_the_program_sees_only_its_own_environment(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    start_worker(SOMETHING_PRIVATE="of the agent", PYTHONPATH="/agent/path")
    given = platform.give(
        LOOK,
        image={"env": {"A": "image", "B": "image", "C": "image"}, "python_path": ["src"]},
        env={"B": "order", "C": "order"},
        secrets={"C": "secret-value"},
    )

    assert given.result["exit_code"] == 0, given.text("stderr")
    seen = json.loads(given.text())
    environ = seen["environ"]
    assert (environ["A"], environ["B"], environ["C"]) == ("image", "order", "secret-value")
    assert environ["PATH"].split(":")[0] == f"{environ['VIRTUAL_ENV']}/bin"
    assert environ["PYTHONPATH"] == f"{seen['cwd']}/src"
    assert environ["CYNTHUS_RUN_ID"] == given.order["run_id"]
    assert environ["CYNTHUS_ATTEMPT"] == "1"
    assert environ["CYNTHUS_OUTPUT_DIR"] == f"{seen['cwd']}/outputs"
    allowed = {"A", "B", "C", "PATH", "VIRTUAL_ENV", "HOME", "TMPDIR", "LANG", "LC_CTYPE"}
    allowed |= {"PYTHONUNBUFFERED", "PYTHONPATH"}
    assert {name for name in environ if not name.startswith("CYNTHUS_")} <= allowed
    assert not [name for name in environ if name.startswith("CYNTHUS_WORKER")]
    assert Path(environ["HOME"]).parent == Path(environ["TMPDIR"]).parent
    assert seen["session"]
    assert seen["group"]
    assert seen["stdin"] == "/dev/null"
    assert [number for number in seen["fds"] if number > 3] == []


def test_no_token_is_within_reach(platform: PlatformForWorkers, worker: Worker, sandbox: str) -> None:
    given = platform.give(LOOK, secrets={"KEY": "secret-value"})

    assert given.result["exit_code"] == 0, given.text("stderr")
    seen = json.loads(given.text())
    assert len(seen["parents"]) == (2 if sandbox == "off" else 0)
    for text in (seen["raw"], seen["cmdline"], *seen["parents"]):
        assert MACHINE_TOKEN not in text
        assert given.order["token"] not in text
    assert not any("secret-value" in parent for parent in seen["parents"])


def test_tokens_and_secrets_are_never_on_disk(
    platform: PlatformForWorkers, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker(CYNTHUS_WORKER_KEEP_RUNS="1")
    given = platform.give("print('x')", secrets={"KEY": "secret-value"})
    assert given.result["exit_code"] == 0

    written = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "envs" not in path.parts
    )
    assert b"print('x')" in written
    for word in (MACHINE_TOKEN, given.order["token"], "secret-value"):
        assert word.encode() not in written


def test_a_program_over_its_memory_fails_alone(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(
        "blocks = []\nwhile True: blocks.append(bytearray(8 * 1024 * 1024))",
        resources={"memory_bytes": 100 * 1024 * 1024},
    )

    cause = given.result["cause"]

    assert cause["code"] == "oom" or "MemoryError" in cause["message"]
    assert "--memory" in cause["fix"]
    assert platform.give("print(1)").result["exit_code"] == 0


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_run_id_never_names_another_folder(platform: PlatformForWorkers, sandbox: str, name: str) -> None:
    order = platform.give("print(1)").order | {"run_id": name}

    with pytest.raises(OrderInvalid):
        read_order(order)
