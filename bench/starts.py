"""Starts: from submit to the program's first line, as a process and in a container, and where the time goes.

Containers stand beside what the engine does for the same container at once, and beside `docker pull` and
`docker run` of the same image. `python -m bench starts [process] [container]`.
"""

import itertools
import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

from bench import homes
from bench.measure import Aim, Table, median, number, ratio, spread
from cynthus.containers.discovery import connect
from cynthus.containers.errors import EngineUnavailable
from cynthus.containers.specification import Bind, ContainerSpec, Limits
from tests.fixtures.base_image import base_layout
from tests.fixtures.registry import running_registry

ROUNDS = 9
SOCKET = "/var/run/docker.sock"
SCRIPT = "import time\nprint(time.time_ns())  # {}\n"
REQUIREMENTS = b"numpy==2.3.5\n"
COLD, WARM, CHANGED = "cold", "the same again", "source changed"
BEFORE = ("queue", "build", "machine", "start", "first_line")
_serial = itertools.count(1)


def run():
    asked = {"process", "container"} & set(sys.argv) or {"process", "container"}
    tables = []
    if "process" in asked:
        with homes.cynthus() as auto, homes.cynthus(CYNTHUS_WORKER_SANDBOX="off") as off:
            tables.append(_timeline("process", {"process": auto, "no sandbox": off}))
    if "container" in asked:
        tables += _containers()
    return tables


def _timeline(title, kinds, runtime=None):
    """Cold is one run; the others alternate."""
    found = {(name, case): [] for name in kinds for case in (COLD, WARM, CHANGED)}
    with_clients = {name: (home, home.client()) for name, home in kinds.items()}
    for name, (home, client) in with_clients.items():
        found[name, COLD].append(_once(home, client, runtime))
        _once(home, client, runtime)
    for _ in range(ROUNDS):
        for name, (home, client) in with_clients.items():
            _change()
            found[name, CHANGED].append(_once(home, client, runtime))
            found[name, WARM].append(_once(home, client, runtime))
    for _, client in with_clients.values():
        client.close()
    return _where(title, found)


def _where(title, found):
    """Rows are phases, columns cases; one that did not happen is empty."""
    columns = [f"{name}, {case}" if name != title else case for name, case in found]
    table = Table(f"Starts: where the time goes, {title} (ms)", ["", *columns])
    parts = dict.fromkeys(phase for runs in found.values() for one in runs for phase in one)
    for phase in BEFORE:
        for part in [phase, *(part for part in parts if part.startswith(f"{phase}."))]:
            cells = [median([one[part] for one in runs if part in one]) for runs in found.values()]
            table.rows.append([f"- {part}" if "." in part else part,
                               *("" if cell is None else number(cell) for cell in cells)])  # fmt: skip
    said = [spread([one["said"] for one in runs]) for runs in found.values()]
    table.rows.append(["the program's first line, by its own clock", *said])
    table.notes.append(
        "phases overlap: build and machine go on side by side; first_line is when its text arrived"
    )
    table.raw = {f"{name}, {case}": runs for (name, case), runs in found.items()}
    return table


_source = [""]


def _change():
    _source[0] = SCRIPT.format(next(_serial))


def _once(home, client, runtime):
    """The timeline of a run that succeeded, and `said`: ms from the request to the program's first line."""
    _source[0] or _change()
    digest = home.upload(_source[0], **{"requirements.txt": REQUIREMENTS})
    begun = time.time_ns()
    run = home.submit(client, digest, runtime=runtime)
    ended = home.finish(client, run)
    if ended["state"] != "SUCCEEDED":
        raise RuntimeError(f"{run}: {ended['cause']} {home.log()}")
    return {**ended["timeline"], "said": (int(home.text(client, run)) - begun) / 1e6}


def _containers():
    docker = shutil.which("docker")
    try:
        engine = connect(SOCKET)
    except EngineUnavailable:
        docker = None
    if docker is None:
        return []
    with homes.folder() as folder, running_registry(folder / "registry") as registry:
        base = _base(registry)
        settings = {
            "CYNTHUS_BUILDER_REGISTRY_URL": registry.url,
            "CYNTHUS_BUILDER_BASES": json.dumps({"3.11": base}),
            "CYNTHUS_BUILDER_DEFAULT_PYTHON": "3.11",
        }
        with homes.cynthus(**settings) as home, _no_images_left(registry.host, home):
            timeline = _timeline("container", {"container": home}, "container")
            return [timeline, _beside(home, engine, folder)]


def _base(registry):
    layout = base_layout()
    target = f"docker://{registry.host}/bases/python:3.11"
    _quietly("skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:latest", target)
    digest = _quietly("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", target)
    reference = f"{registry.host}/bases/python@{digest.strip()}"
    return {"reference": reference, "python": "/usr/bin/python3.11", "glibc": [2, 36]}


def _beside(home, engine, folder):
    """The worker's part of a redeploy, the engine's own part of it, and docker's way, in turn."""
    samples = {name: [] for name in (OURS, DIRECT, CONTAINED, SANDBOXED, DOCKER)}
    with home.client() as client:
        _once(home, client, "process")
        for turn in range(ROUNDS + 1):
            _change()
            contained = _once(home, client, "container")
            reference = client.json("GET", "/v1/images?page_size=1")["images"][0]["reference"]
            direct = _direct(engine, reference.partition("@")[0], folder)
            docker = _pull_and_run(reference)
            _change()
            sandboxed = _once(home, client, "process")
            if turn:
                samples[OURS].append(_started(contained))
                samples[DIRECT].append(direct)
                samples[CONTAINED].append(_started(contained) + contained["run"])
                samples[SANDBOXED].append(_started(sandboxed) + sandboxed["run"])
                samples[DOCKER].append(docker)
    title = "Starts: a changed source on a warm machine, from the order on (ms)"
    table = Table(title, ["", "ms (least-most)"])
    for name, values in samples.items():
        table.rows.append([name, spread(values)])
    middle = {name: median(values) for name, values in samples.items()}
    table.aims = [
        Aim("our container beside the engine's part of it", middle[OURS] / middle[DIRECT], at_most=1.15),
        Aim("docker pull and run beside our process", middle[DOCKER] / middle[SANDBOXED], at_least=5),
    ]
    table.notes += [
        f"docker pull and run beside our container: {ratio(middle[DOCKER] / middle[CONTAINED])}",
        "ours: the worker's phases added up: source laid out, image there, program started, and its run",
    ]
    table.raw = samples
    return table


OURS = "cynthus, container: started"
DIRECT = "engine API, the same container with everything in place: create and start"
CONTAINED = "cynthus, container: ended"
SANDBOXED = "cynthus, process in a sandbox: ended"
DOCKER = "docker pull and docker run of the complete image: ended"


def _started(timeline):
    return sum(took for part, took in timeline.items() if part.startswith("start."))


def _direct(engine, repository, folder):
    """The same container as the worker's, by two requests; ms until the engine says it runs."""
    work = folder / "direct"
    work.mkdir(exist_ok=True)
    work.chmod(0o777)
    (work / "main.py").write_text(_source[0])
    spec = ContainerSpec(
        image=_environment(repository),
        entrypoint=["/opt/venv/bin/python"],
        arguments=["main.py"],
        folder="/app",
        hostname="direct",
        binds=[Bind(str(work), "/app", writable=True)],
        scratch={"/tmp": 1 << 30},
        network="cynthus",
        limits=Limits(),
    )
    name = f"cynthus-bench-{next(_serial)}"
    begun = time.perf_counter()
    engine.create(name, spec)
    engine.start(name)
    took = (time.perf_counter() - begun) * 1000
    code = engine.wait(name, 30)
    engine.remove(name)
    if code != 0:
        raise RuntimeError(f"the direct container ended with {code}")
    return took


def _environment(repository):
    """The image the worker pulled for the last run."""
    found = _quietly("docker", "image", "ls", "--digests", "--no-trunc", "--format",
                     "{{.Repository}} {{.Tag}} {{.ID}}")  # fmt: skip
    name = repository.partition("/")[2]
    return next(line.split()[2] for line in found.splitlines() if line.split()[0].endswith(f"/{name}"))


def _pull_and_run(reference):
    begun = time.perf_counter()
    _quietly("docker", "pull", "--quiet", reference)
    _quietly("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", reference)
    took = (time.perf_counter() - begun) * 1000
    _quietly("docker", "image", "rm", reference)
    return took


@contextmanager
def _no_images_left(registry, home):
    try:
        yield
    finally:
        hosts = (f"{registry}/", home.url.partition("//")[2] + "/")
        listed = _quietly("docker", "image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}")
        for reference in listed.splitlines():
            if reference.startswith(hosts):
                with suppress(RuntimeError):
                    _quietly("docker", "image", "rm", "--force", reference)


def _quietly(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout
