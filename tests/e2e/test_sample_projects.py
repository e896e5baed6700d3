"""Projects as people bring them, from their files to their results, with no configuration."""

import dataclasses
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from uv import find_uv_bin

from cynthus.containers.labels import HOME
from tests.e2e.homes import Home, embedded, workers_of
from tests.fixtures.needs import PROBES
from tests.fixtures.projects import PROJECTS, PYYAML, TORCH, Project

pytestmark = [pytest.mark.needs("docker-registry", "mmdebstrap", "skopeo"), pytest.mark.timeout(240)]
UV_LOCK = "a uv.lock project"
TORCH_CPU = "torch without a GPU"
PROCESSES = {name: one for name, one in PROJECTS.items() if not one.container}
LARGE = {"numpy and scikit-learn", "pandas from a notebook"}
"""An engine takes its time to unpack them, and has seen the like in OpenCV."""
CONTAINERS = {name: one for name, one in PROJECTS.items() if one.container}
LOCKED = Project(
    {
        "pyproject.toml": (
            '[project]\nname = "locked"\nversion = "1.0"\nrequires-python = ">=3.11"\n'
            'dependencies = ["more-itertools<10.3"]\n'
        ),
        "main.py": "import more_itertools\nprint('locked', more_itertools.__version__)\n",
    },
    ("main.py",),
    "locked 10.2.0",
)
OWN_DOCKERFILE = Project(
    {
        "Dockerfile": (
            "FROM {base}\nWORKDIR /srv/app\nRUN mkdir /opt/a && echo from a Dockerfile > /opt/a/said\n"
            'COPY . .\nENV GREETED=world\nCMD ["python3", "main.py"]\n'
        ),
        "main.py": (
            "import os, pathlib\nsaid = pathlib.Path('/opt/a/said').read_text().strip()\n"
            "pathlib.Path('outputs').mkdir(exist_ok=True)\n"
            "pathlib.Path('outputs/said.txt').write_text(said)\nprint(said, os.environ['GREETED'])\n"
        ),
    },
    (),
    "from a Dockerfile world",
    container=True,
    result="said.txt",
)


@dataclasses.dataclass(frozen=True)
class Ran:
    """What came of a project."""

    done: subprocess.CompletedProcess[str]
    name: str
    outputs: Path


@dataclasses.dataclass
class Samples:
    """Runs each project once; the tests look at it from several sides."""

    home: Home
    folder: Path
    base: str
    registry: str
    _ran: dict[str, Ran] = dataclasses.field(default_factory=dict)

    def project(self, name: str, files: dict[str, str]) -> Path:
        """Its files in a folder of its own."""
        folder = self.folder / slug(name)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text.replace("{base}", self.base))
        return folder

    def run(self, name: str, sample: Project, *options: str) -> Ran:
        """What a person types in its folder."""
        if name not in self._ran:
            folder = self.project(name, sample.files)
            if name == UV_LOCK:
                subprocess.run([find_uv_bin(), "lock", "--quiet"], cwd=folder, check=True)
            command = ("run", *sample.arguments, "--name", slug(name), *options)
            done = self.home.cynthus(*command, cwd=folder)
            self._ran[name] = Ran(done, slug(name), folder / "outputs" / slug(name))
        return self._ran[name]

    def ran_well(self, name: str, sample: Project, *options: str) -> Ran:
        """Exit code 0, its line, its result."""
        ran = self.run(name, sample, *options)
        assert ran.done.returncode == 0, ran.done.stderr
        assert sample.prints in ran.done.stdout.splitlines(), ran.done.stderr
        if sample.result is not None:
            assert (ran.outputs / sample.result).stat().st_size > 0
        return ran

    def ask(self, *command: str) -> str:
        """What another command answers."""
        done = self.home.cynthus(*command, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reference(self, run: str) -> str:
        """The complete image of a run, copied to where anybody may pull it."""
        image = self.home.run_of(run)["image"]
        layout = Path(self.home.environment["CYNTHUS_HOME"]) / "images" / "registry" / image["repository"]
        tag, place = image["digest"].removeprefix("sha256:")[:16], f"{self.registry}/samples/{run}"
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false",
             f"oci:{layout}:{tag}", f"docker://{place}:{tag}"],
            check=True, capture_output=True,
        )  # fmt: skip
        return f"{place}@{image['digest']}"


def slug(name: str) -> str:
    return name.lower().replace(".", "-").replace(" ", "-")


@pytest.fixture(scope="module")
def home(registry, base_image, tmp_path_factory) -> Iterator[Home]:
    """One for all, with a base image and, where there are some, wheels of this machine."""
    folder = tmp_path_factory.mktemp("samples")
    base = {"reference": base_image.reference, "python": base_image.python, "glibc": [2, 36]}
    builder = {
        "CYNTHUS_BUILDER_BASES": json.dumps({"3.11": base}),
        "CYNTHUS_BUILDER_FIND_LINKS": json.dumps(shlex.split(os.environ.get("PIP_FIND_LINKS", ""))),
        "CYNTHUS_BUILDER_TORCH_BACKEND": "off",
        "CYNTHUS_BUILDER_DEFAULT_PYTHON": "3.11",
    }
    with nothing_left(folder), embedded(folder, **builder) as running, no_images_left(running, registry.host):
        yield running


@pytest.fixture(scope="module")
def samples(home, base_image, registry, tmp_path_factory) -> Samples:
    return Samples(home, tmp_path_factory.mktemp("projects"), base_image.reference, registry.host)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_project_runs_as_it_is(samples, name):
    samples.ran_well(name, PROCESSES[name])


def test_a_uv_lock_is_taken_as_it_is(samples):
    ran = samples.ran_well(UV_LOCK, LOCKED)
    assert "uv.lock" in ran.done.stderr


@pytest.mark.needs("torch-wheel")
def test_torch_runs_as_it_is(samples):
    samples.ran_well(TORCH_CPU, TORCH)


@pytest.mark.needs("docker")
@pytest.mark.parametrize("name", [name for name in PROCESSES if name not in LARGE])
def test_the_image_of_a_process_is_complete_and_runs_anywhere(samples, name):
    sample = PROCESSES[name]
    reference = samples.reference(samples.ran_well(name, sample).name)
    assert sample.prints in run_with_docker(reference)


@pytest.mark.needs("docker")
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_project_with_system_packages_runs_in_a_container(samples, name):
    sample = CONTAINERS[name]
    ran = samples.ran_well(name, sample)
    assert in_a_container(samples, ran)
    bill = bill_of(samples, ran)
    assert {"libgl1", "libglib2.0-0", "opencv-python", "numpy"} <= {one["name"] for one in bill["components"]}
    assert sample.prints in run_with_docker(samples.reference(ran.name))


@pytest.mark.needs("docker")
def test_any_project_can_be_put_into_a_container(samples):
    files = {"load.py": PYYAML.files["load.py"] + "open('outputs/a.txt', 'w').write('b')\n"}
    sample = dataclasses.replace(PYYAML, files=files, result="a.txt")
    ran = samples.ran_well("forced", sample, "--runtime", "container")
    assert in_a_container(samples, ran)
    assert [one["name"] for one in bill_of(samples, ran)["components"] if one["type"] == "library"] == [
        "pyyaml"
    ]
    assert (ran.outputs / "a.txt").read_text() == "b"


@pytest.mark.needs("docker")
def test_a_dockerfile_of_the_project_is_built_and_its_command_runs(samples):
    ran = samples.ran_well("own", OWN_DOCKERFILE)
    assert in_a_container(samples, ran)
    assert {samples.base, "libc6", "python3.11"} <= {
        one["name"] for one in bill_of(samples, ran)["components"]
    }
    assert (ran.outputs / "said.txt").read_text() == "from a Dockerfile"
    assert OWN_DOCKERFILE.prints in run_with_docker(samples.reference(ran.name))


def test_the_plan_says_what_an_image_is_made_of_and_why(samples):
    folder = samples.project("planned", CONTAINERS["OpenCV with apt packages"].files)
    planned = samples.home.cynthus("plan", "edges.py", cwd=folder)
    assert planned.returncode == 0, planned.stderr
    for line in ("packages requirements.txt (2)", "system libgl1 libglib2.0-0", "runtime container: "):
        assert line in planned.stderr


def test_a_module_that_fails_to_import_fails_the_build_with_the_line_to_add(samples):
    files = {"main.py": "import fsspec.implementations.http\n", "requirements.txt": "fsspec\n"}
    ran = samples.run("incomplete", Project(files, ("main.py",), ""))
    assert ran.done.returncode == 3, ran.done.stderr
    run = samples.home.run_of("incomplete")
    assert run["cause"]["code"] == "import_failed"
    assert "aiohttp" in run["cause"]["message"]
    assert run["cause"]["fix"] == "Add aiohttp to the project's requirements."
    assert run["cause"]["fix"] in ran.done.stderr
    events = samples.home.get(f"/v1/runs/{run['id']}/events")["events"]
    assert "attempt.started" not in {event["kind"] for event in events}


def test_a_dependency_that_does_not_exist_is_named(samples):
    files = {"main.py": "print(1)\n", "requirements.txt": "no-such-dist-xyz-123\n"}
    ran = samples.run("absent", Project(files, ("main.py",), ""))
    assert ran.done.returncode == 3
    assert samples.home.run_of("absent")["cause"]["code"] == "dependency_not_found"
    assert "no-such-dist-xyz-123" in ran.done.stderr


def test_a_conflict_is_shown_as_the_resolver_explains_it(samples):
    files = {"main.py": "print(1)\n", "requirements.txt": "requests==2.31.0\nurllib3==1.20\n"}
    ran = samples.run("conflict", Project(files, ("main.py",), ""))
    assert ran.done.returncode == 3
    assert samples.home.run_of("conflict")["cause"]["code"] == "dependency_conflict"
    assert "requests==2.31.0 depends on urllib3>=1.21.1" in ran.done.stderr
    assert "you require urllib3==1.20" in ran.done.stderr


def test_a_secret_in_the_source_is_warned_of_and_shows_nowhere(samples):
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzQ3vT9sLw8"
    files = {"main.py": "print('ran')\n", ".env": f"AWS_SECRET_ACCESS_KEY={secret}\n"}
    ran = samples.ran_well("leaky", Project(files, ("main.py",), "ran"))
    assert "secret in .env:1 (AWS secret key)" in ran.done.stderr
    told = [ran.done.stdout, ran.done.stderr, *(samples.ask(*command) for command in (
        ("show", "leaky"), ("events", "leaky", "-o", "json"), ("image", "show", "leaky", "-o", "json"),
        ("image", "sbom", "leaky", "-o", "json"),
    ))]  # fmt: skip
    assert secret not in "".join(told)
    state = Path(samples.home.environment["CYNTHUS_HOME"])
    places = [state / name for name in ("logs", "postgres", "secrets", "machines/workers.log")]
    found = subprocess.run(["grep", "-rlF", secret, *places], capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("", "")


def in_a_container(samples: Samples, ran: Ran) -> bool:
    """What is shown of it, everywhere, says so; none is left behind."""
    run = samples.home.run_of(ran.name)
    digest = run["image"]["digest"]
    assert run["image"]["runtime"] == "container"
    assert " · container" in samples.ask("show", ran.name)
    assert digest in samples.ask("image", "ls", "-o", "json")
    assert "container · linux/amd64" in samples.ask("image", "show", ran.name)
    assert containers_of(samples.home.folder) == []
    return True


def bill_of(samples: Samples, ran: Ran):
    bill = json.loads(samples.ask("image", "sbom", ran.name, "-o", "json"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == samples.home.run_of(ran.name)["image"]["digest"]
    return bill


def run_with_docker(reference: str) -> list[str]:
    command = ["docker", "run", "--rm", "--network=none", reference]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def containers_of(folder: Path) -> list[str]:
    """Of the platform whose home is there, running or not."""
    home = str((folder / "state" / "machines").resolve())
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label={HOME}={home}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """After `cynthus down` no process, container and mount of the home is there."""
    yield
    assert workers_of(folder) == []
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if str(folder) in line] == []
    if PROBES["docker"]():
        assert containers_of(folder) == []


@contextmanager
def no_images_left(home: Home, registry: str) -> Iterator[None]:
    """Docker keeps what it pulled, for the next run; a test does not need it."""
    ours = (home.url.removeprefix("http://") + "/", f"{registry}/samples/", f"{registry}/bases/")
    yield
    listing = ["docker", "images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"]
    try:
        listed = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return
    pulled = [name for name in listed if name.startswith(ours)]
    if pulled:
        subprocess.run(["docker", "rmi", *pulled], capture_output=True, check=True)
