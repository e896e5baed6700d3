"""Programs run in environments made of an image's layers, which are fetched and unpacked once per machine."""

from pathlib import Path

import pytest

from tests.fixtures.layer_files import END, VENV, LayerFile, entry, layer, layer_of, site
from tests.fixtures.platform_for_workers import MACHINE_TOKEN, Fault, PlatformForWorkers
from tests.integration.worker.conftest import BOTH_WAYS, StartWorker, Worker

pytestmark = BOTH_WAYS

ALPHA = layer(
    {**site("alpha", "answer = 42\n"), "bin/alpha": "#!/opt/venv/bin/python\nimport alpha\nprint(alpha)\n"}
)
BETA = layer(site("beta", "answer = 43\n"))
SOURCE = layer({"main.py": "print('of the image')"}, kind="source", place="app")
BASE = LayerFile(b"never fetched", layer({}, kind="base").descriptor)
SCRIPT = "import alpha, beta, sys\nprint(alpha.answer, beta.answer, sys.prefix)\n"


def asked_for(platform: PlatformForWorkers, one: LayerFile) -> int:
    return sum(one.descriptor.digest in path for _, path in platform.requests)


def named(folder: Path, suffix: str = ".complete") -> set[str]:
    return {path.name.removesuffix(suffix) for path in folder.iterdir() if path.name.endswith(suffix)}


def test_packages_of_the_layers_are_there_and_fetched_once(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    layers = (BASE, VENV, ALPHA, BETA, SOURCE)
    given = [platform.give(SCRIPT, *layers) for _ in range(2)]

    assert [one.result["exit_code"] for one in given] == [0, 0], given[0].text("stderr")
    assert given[0].text() == given[1].text()
    assert given[0].text().startswith(b"42 43 " + str(worker.home).encode())
    assert [asked_for(platform, one) for one in layers] == [0, 1, 1, 1, 0]
    assert given[0].started[0]["phases_ms"].keys() == {
        *("pull", "unpack", "environment", "source", "data", "spawn"),
    }
    assert given[1].started[0]["phases_ms"].keys() == {"pull", "environment", "source", "data", "spawn"}


def test_scripts_of_packages_are_on_the_path(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give("", VENV, ALPHA, image={"command": ["alpha"]})

    assert given.result["exit_code"] == 0, given.text("stderr")
    assert b"site-packages/alpha" in given.text()


def test_images_share_their_layers(platform: PlatformForWorkers, worker: Worker) -> None:
    for layers in ((VENV, ALPHA), (VENV, ALPHA, BETA)):
        assert platform.give("import alpha", *layers).result["exit_code"] == 0

    assert [asked_for(platform, one) for one in (VENV, ALPHA, BETA)] == [1, 1, 1]
    assert named(worker.home / "cache/layers") == {VENV.name, ALPHA.name, BETA.name}
    assert len(named(worker.home / "cache/environments")) == 2


def test_two_workers_at_once_fetch_a_layer_once(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    given = [platform.give(SCRIPT, VENV, ALPHA, BETA) for _ in range(2)]
    start_worker()
    start_worker()

    assert [one.result["exit_code"] for one in given] == [0, 0]
    assert [asked_for(platform, one) for one in (VENV, ALPHA, BETA)] == [1, 1, 1]


def test_a_program_cannot_change_what_others_run_with(
    platform: PlatformForWorkers, worker: Worker, sandbox: str
) -> None:
    script = (
        "import alpha, os\n"
        "path = alpha.__file__\n"
        "for change in (lambda: os.chmod(path, 0o644), lambda: open(path, 'w').write('x')):\n"
        "    try: change()\n    except OSError as error: print(error.strerror)\n"
    )
    given = platform.give(script, VENV, ALPHA)

    assert given.result["exit_code"] == 0, given.text("stderr")
    if sandbox == "required":
        assert given.text() == b"Read-only file system\n" * 2
        assert platform.give("import alpha; print(alpha.answer)", VENV, ALPHA).result["exit_code"] == 0


@pytest.mark.parametrize(("call", "action"), [("/v2/", "503"), ("/v2/", "cut"), ("/blobs/", "lose")])
def test_a_registry_that_is_away_for_a_while_is_asked_again(
    platform: PlatformForWorkers, worker: Worker, call: str, action: str
) -> None:
    platform.faults.append(Fault(f"ada/digits{call}" if call == "/blobs/" else call, action, times=3))
    given = platform.give(SCRIPT, VENV, ALPHA, BETA)

    assert given.result["exit_code"] == 0, given.result


def test_an_image_that_is_gone_is_named(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(SCRIPT, VENV, image={"repository": "ada/other"})

    assert given.result["cause"]["code"] == "image_missing"
    assert "rerun" in given.result["cause"]["fix"]
    assert not given.started


def test_a_layer_that_is_gone_is_named(platform: PlatformForWorkers, start_worker: StartWorker) -> None:
    given = platform.give(SCRIPT, VENV, ALPHA)
    del platform.registry[ALPHA.descriptor.digest]
    start_worker()

    assert given.result["cause"]["code"] == "image_missing"


def test_wrong_credentials_are_no_image(platform: PlatformForWorkers, worker: Worker) -> None:
    access = {"url": platform.url, "username": "attempt", "password": "forged"}
    given = platform.give(SCRIPT, VENV, registry=access)

    assert given.result["cause"]["code"] == "image_missing"


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (layer({"usr/lib/libx.so": "x"}, kind="system", place="."), "needs_container"),
        (layer_of(entry(b"../escaped", b"x") + END), "image_refused"),
        (layer_of(entry(b"opt/venv/lib", kind=b"2", target=b"/etc") + END), "image_refused"),
    ],
)
def test_layers_that_cannot_be_part_of_an_environment_are_refused(
    platform: PlatformForWorkers, worker: Worker, one: LayerFile, code: str
) -> None:
    given = platform.give(SCRIPT, VENV, one, ALPHA)

    assert given.result["cause"]["code"] == code
    assert not given.started
    assert not (worker.home / "cache/escaped").exists()
    assert platform.give(SCRIPT, VENV, ALPHA, BETA).result["exit_code"] == 0


def test_an_image_from_before_images_were_packed_is_named(
    platform: PlatformForWorkers, worker: Worker
) -> None:
    before = {"kind": "environment", "repository": None, "environment": None}
    given = platform.give(SCRIPT, image=before)

    assert given.result["cause"]["code"] == "image_missing"
    assert "rerun" in given.result["cause"]["fix"]


def test_an_order_without_a_registry_is_refused(platform: PlatformForWorkers, worker: Worker) -> None:
    given = platform.give(SCRIPT, VENV, registry=None)

    assert given.result["cause"]["code"] == "order_invalid"


@pytest.mark.parametrize("python", ["2.1", "/usr/bin/python3"])
def test_a_python_that_is_not_there_is_named(
    platform: PlatformForWorkers, worker: Worker, python: str
) -> None:
    given = platform.give(SCRIPT, VENV, image={"python": python})

    assert given.result["cause"]["code"] == "python_missing"
    assert repr(python)[1:-1] in given.result["cause"]["message"]


def test_a_cancel_while_layers_arrive_ends_the_attempt(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    platform.faults.append(Fault("/v2/", "503", times=1000))
    given = platform.give(SCRIPT, VENV)
    given.stop = "cancelled"
    start_worker()

    assert given.result["cause"]["code"] == "cancelled"
    assert not given.started


def test_a_worker_killed_while_it_unpacks_leaves_nothing_half_done(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    first = start_worker()
    many = layer({f"lib/python3.11/site-packages/m{n}.py": "x = 1" for n in range(5000)})
    given = platform.give(SCRIPT, VENV, many)
    layers = first.home / "cache/layers"
    while not (layers / f"{many.name}.fresh/opt").exists():
        assert first.process.poll() is None
    first.kill()
    given.fenced = True
    start_worker()

    assert platform.give("import m4999", VENV, many).result["exit_code"] == 0
    assert named(layers, ".fresh") == set()


def test_byte_code_is_there_for_later_runs(platform: PlatformForWorkers, worker: Worker) -> None:
    script = (
        "import alpha\nprint(alpha.__spec__.cached, __import__('os').path.exists(alpha.__spec__.cached))\n"
    )
    assert platform.give(script, VENV, ALPHA).result["exit_code"] == 0
    (environment,) = (worker.home / "cache/environments").glob("*.complete")
    compiled = environment.with_suffix("") / ".compiled"
    while not compiled.exists():
        assert worker.process.poll() is None

    given = platform.give(script, VENV, ALPHA)

    assert given.result["exit_code"] == 0
    assert given.text().strip().endswith(b"True")


def test_layers_and_environments_are_kept_within_the_limit_of_the_cache(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    worker = start_worker(CYNTHUS_WORKER_CACHE_BYTES="3000000")
    images = [layer(site(f"p{n}", f"x = '{str(n) * 1_000_000}'")) for n in range(5)]
    for one in images:
        assert platform.give("print(1)", VENV, one).result["exit_code"] == 0
    for _ in range(2):
        platform.idle.clear()
        assert platform.idle.wait(10)

    kept = named(worker.home / "cache/layers")
    assert images[-1].name in kept
    assert images[0].name not in kept
    cache = worker.home / "cache"
    files = [path.lstat() for path in cache.rglob("*") if path.is_file()]
    assert sum({file.st_ino: file.st_size for file in files}.values()) < 3_000_000


def test_an_idle_worker_fetches_layers_beforehand(
    platform: PlatformForWorkers, start_worker: StartWorker
) -> None:
    access = {"url": platform.url, "username": "machine", "password": MACHINE_TOKEN}
    wanted = {**access, "repository": "ada/digits"}
    platform.prepull = [
        {**wanted, "digest": "sha256:" + "0" * 64},
        {**wanted, "digest": platform.image(BASE, VENV, ALPHA, BETA, SOURCE)},
    ]
    worker = start_worker()
    layers = worker.home / "cache/layers"
    while not layers.exists() or len(named(layers)) < 3:
        assert worker.process.poll() is None
    before = len(platform.requests)

    assert platform.give(SCRIPT, VENV, ALPHA, BETA).result["exit_code"] == 0
    assert not [path for _, path in platform.requests[before:] if "/v2/ada/digits/blobs" in path]
    assert "not fetched beforehand" in worker.log.read_text()


def test_a_run_without_network_is_refused_where_nothing_can_keep_it_so(
    platform: PlatformForWorkers, worker: Worker, sandbox: str
) -> None:
    script = "import socket\nsocket.create_connection(('127.0.0.1', int(open('port').read())), 2)"
    port = platform.url.rpartition(":")[2]
    given = platform.give(script, VENV, network="none", files={"port": port})

    result = given.result
    assert result["cause"]["code"] == ("sandbox_missing" if sandbox == "off" else "user_exit")


def test_hello_says_how_programs_can_run(platform: PlatformForWorkers, worker: Worker, sandbox: str) -> None:
    assert platform.greeted.wait(10)

    assert "process" in platform.hellos[0]["runtimes"]
    assert ("bubblewrap" in platform.hellos[0]["runtimes"]) is (sandbox == "required")
