"""Images from the command line: listed, looked into, their bills of materials, and what runs in them."""

import json

import pytest

from tests.fixtures.fake_runs import Program

NUMPY = {"type": "library", "name": "numpy", "version": "2.1.0", "purl": "pkg:pypi/numpy@2.1.0"}
LIBGL = {"type": "library", "name": "libgl1", "version": "1.6.0-1", "purl": "pkg:deb/debian/libgl1@1.6.0-1"}
BILL = json.dumps({"bomFormat": "CycloneDX", "components": [NUMPY, LIBGL]}, indent=2).encode()


def image(digits, project="weather", **more):
    layers = [
        {"digest": "sha256:" + "11" * 32, "kind": "packages", "size": 3_100_000, "package": None},
        {"digest": "sha256:" + "22" * 32, "kind": "wheel", "size": 900_000_000, "package": "torch 2.9.0"},
    ]
    whole = {
        "digest": f"sha256:{digits:0<64}",
        "reference": f"registry.example/{project}@sha256:{digits:0<64}",
        "repository": project,
        "project": project,
        "runtime": "container",
        "python": "3.12",
        "platform": "linux/amd64",
        "base": "docker.io/library/python:3.12-slim@sha256:" + "ab" * 32,
        "size": 903_100_000,
        "packages": 2,
        "created_at": "2026-11-23T12:00:00Z",
        "command": ["python", "train.py"],
        "layers": layers,
        "min_driver": "580.65.06",
        "notes": ["CUDA 13.0: torch 2.9.0 asks for it"],
    }
    return {**whole, **more}


@pytest.fixture
def images(gateway):
    gateway.images = [image("9f2c" * 16), image("aaaaaaaa01", "other"), image("aaaaaaaa02", "other")]
    gateway.sboms = {one["digest"]: BILL for one in gateway.images}
    return gateway.images


def test_images_are_listed_newest_first(cynthus, images):
    head, first, *rest = cynthus("image", "ls").stdout.splitlines()
    assert head.split() == ["DIGEST", "PROJECT", "RUNTIME", "PYTHON", "PACKAGES", "SIZE", "CREATED"]
    assert first.split()[:6] == ["sha256:9f2c9f2c9f2c", "weather", "container", "3.12", "2", "903.1"]
    assert len(rest) == 2
    assert len(cynthus("image", "ls", "--project", "other").stdout.splitlines()) == 3
    assert cynthus("image", "ls", "-o", "quiet", "-n", 1).stdout == images[0]["digest"] + "\n"
    lines = cynthus("image", "ls", "-o", "json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == images


def test_images_of_more_than_one_page_are_all_listed(cynthus, gateway):
    gateway.images = [image(f"{number:08x}") for number in range(1100)]
    assert len(cynthus("image", "ls", "-n", 1050, "-o", "quiet").stdout.splitlines()) == 1050


def test_no_images_say_what_to_do(cynthus):
    assert "cynthus run" in cynthus("image", "ls").stdout


@pytest.mark.parametrize("name", ["9f2c9f2c", "sha256:9f2c9f2c", "9f2c" * 16])
def test_an_image_is_shown_by_its_digest_or_the_beginning_of_it(cynthus, images, name):
    shown = cynthus("image", "show", name).stdout
    for part in (
        images[0]["digest"],
        "python:3.12-slim",
        "NVIDIA 580.65.06 or newer",
        "python train.py",
        "torch 2.9.0",
        "900.0 MB",
        "CUDA 13.0",
    ):
        assert part in shown
    assert json.loads(cynthus("image", "show", name, "-o", "json").stdout) == images[0]


def test_a_run_names_its_image(cynthus, images):
    (cynthus.project / "train.py").write_text("print(1)\n")
    assert cynthus("run", "--name", "one").returncode == 0
    assert cynthus("image", "show", "one", "-o", "quiet").stdout == images[0]["digest"] + "\n"


def test_an_image_without_a_base_says_what_it_is_good_for(cynthus, gateway):
    gateway.images = [image("cc", base=None, runtime="process", min_driver=None, layers=[])]
    assert "it runs as a process only" in cynthus("image", "show", "cc" + "0" * 6).stdout


@pytest.mark.parametrize("name", ["nowhere", "feedfeed", "sha256:feedfeed", "short", "9f2c"])
def test_an_unknown_image_is_told_with_the_command_that_lists_them(cynthus, images, name):
    refused = cynthus("image", "show", name)
    assert refused.returncode == 5
    assert "error[image_missing]" in refused.stderr
    assert "cynthus image ls" in refused.stderr


def test_a_beginning_that_fits_several_asks_for_more_of_it(cynthus, images):
    refused = cynthus("image", "show", "aaaaaaaa")
    assert (refused.returncode, "give more of its digits" in refused.stderr) == (6, True)


def test_a_run_without_an_image_says_so(cynthus, gateway, images):
    gateway.program = Program(starts=False)
    (cynthus.project / "train.py").write_text("print(1)\n")
    cynthus("run", "--name", "one", "--no-fetch")
    refused = cynthus("image", "sbom", "one")
    assert (refused.returncode, "one has no image" in refused.stderr) == (5, True)
    assert "cynthus show one" in refused.stderr


def test_the_bill_of_materials_is_a_table_a_document_or_a_file(cynthus, images):
    assert cynthus("image", "sbom", "9f2c9f2c").stdout.splitlines() == [
        "NAME    VERSION  TYPE",
        "libgl1  1.6.0-1  deb",
        "numpy   2.1.0    pypi",
    ]
    assert cynthus("image", "sbom", "9f2c9f2c", "-o", "json").stdout == BILL.decode() + "\n"
    done = cynthus("image", "sbom", "9f2c9f2c", "--to", "bill.json")
    assert (done.stdout, done.returncode) == ("", 0)
    assert (cynthus.project / "bill.json").read_bytes() == BILL
    refused = cynthus("image", "sbom", "9f2c9f2c", "--to", "no/where.json")
    assert (refused.returncode, "error[unwritable]" in refused.stderr) == (2, True)


TIMELINE = {
    "queue": 3.0,
    "build": 4000.0,
    "machine": 2000.0,
    "start": 500.0,
    "first_line": 4600.0,
    "run": 60_000.0,
    "upload": 40.0,
    "total": 65_000.0,
    "build.push": 1000.0,
    "build.mystery": 10.0,
    "build.plan": 20.0,
    "build.import_check": 700.0,
    "start.spawn": 30.0,
    "start.pull": 400.0,
    "thawing": 5.0,
    "lost.part": 7.0,
}


def test_show_tells_where_the_time_to_the_first_line_went(cynthus, gateway):
    gateway.program = Program(timeline=TIMELINE)
    (cynthus.project / "train.py").write_text("print(1)\n")
    cynthus("run", "--name", "one", "--no-fetch")
    shown = cynthus("show", "one").stdout
    assert "sha256:9f2c9f2c9f2c · container · Python 3.11 · base docker.io/library/python:3.11" in shown
    assert "built in 0.5s" in shown
    rows = [line.rstrip("█ ").rsplit("  ", 1)[0].strip() for line in shown.split("\n\n")[1].splitlines()]
    assert [row.split("  ")[0] for row in rows] == [
        "queue", "build", "plan", "push", "import check", "mystery", "machine", "start", "pull", "spawn",
        "thawing", "lost.part", "first line", "run", "upload", "total",
    ]  # fmt: skip
    bars = {line.split("  ")[1].strip(): line.count("█") for line in shown.split("\n\n")[1].splitlines()}
    assert (bars["build"], bars["machine"], bars["queue"], bars["run"]) == (30, 15, 1, 0)


def test_a_cached_image_is_told_in_show(cynthus, gateway):
    gateway.program = Program(cached=True)
    (cynthus.project / "train.py").write_text("print(1)\n")
    cynthus("run", "--name", "one", "--no-fetch")
    assert " · cached" in cynthus("show", "one").stdout


SPEC = """\
[image]
apt = ["libgl1"]
base = "python:3.12-slim"
[[image.index]]
name = "corp"
url = "https://pypi.corp.example/simple"
secret = "PYPI"
[resources]
gpu = "L4:1"
"""


@pytest.fixture
def project(cynthus):
    (cynthus.project / "train.py").write_text("print(1)\n")
    (cynthus.project / "cynthus.toml").write_text(SPEC)
    return cynthus


def test_the_plan_tells_runtime_base_packages_index_and_gpu(project, gateway):
    gateway.machine = {
        "runtimes": ["process", "bubblewrap", "docker"],
        "gpus": [{"name": "NVIDIA L4", "memory_bytes": 24 * 10**9}],
        "driver": "580.65.06",
    }
    shown = project("plan").stderr
    for row in (
        "runtime container: libgl1 needs one",
        "system libgl1",
        "base python:3.12-slim",
        "index corp https://pypi.corp.example/simple (secret PYPI)",
        "gpu L4:1",
        "in a container   (offers process, bubblewrap, docker; NVIDIA L4 24.0 GB, driver 580.65.06)",
    ):
        assert row in shown
    assert "not acted on yet" not in shown
    assert "warning" not in shown
    assert (
        "warning: the GPU T4 is asked for, and the machine has NVIDIA L4"
        in project("plan", "--gpu", "T4").stderr
    )
    assert "warning: the GPU 40GB+" in project("plan", "--gpu", "40GB+").stderr
    assert "warning" not in project("plan", "--gpu", "24GB+").stderr
    plan = json.loads(project("plan", "-o", "json").stdout)["plan"]
    assert (plan["runtime"], plan["gpu"], plan["apt"]) == ("container", "L4:1", ["libgl1"])


def test_what_is_asked_for_is_submitted(project, gateway):
    done = project("run", "--runtime", "container", "--gpu", "T4:2", PYPI="hunter2")
    assert done.returncode == 0, done.stderr
    asked = gateway.runs[0].submission
    assert (asked["runtime"], asked["resources"]) == ("container", {"gpu": "T4:2"})
    assert asked["secrets"] == {"PYPI": "hunter2"}
    assert "hunter2" not in done.stderr


def test_the_secret_of_an_index_must_be_there(project):
    refused = project("run")
    assert "the index corp needs the secret PYPI" in refused.stderr
    assert "--secret-file PYPI=PATH" in refused.stderr


def test_without_an_engine_a_container_is_refused_before_anything_is_sent(project, gateway):
    gateway.machine = {"runtimes": ["process"], "gpus": []}
    refused = project("run", PYPI="x")
    assert (refused.returncode, "error[runtime_missing]" in refused.stderr) == (3, True)
    assert "install Docker or Podman" in refused.stderr
    assert "libgl1 needs a container" in refused.stderr
    assert gateway.paths("PUT") == gateway.paths("POST") == []
    planned = project("plan")
    assert planned.returncode == 0
    assert "warning: the platform's machine has no container engine" in planned.stderr
    assert "the machine has no GPU" in planned.stderr


def test_a_process_asks_nothing_of_the_machine(cynthus, gateway):
    (cynthus.project / "train.py").write_text("print(1)\n")
    gateway.machine = {"runtimes": ["process"], "gpus": []}
    assert cynthus("run", "--runtime", "process").returncode == 0
    assert ("GET", "/v1/status") not in gateway.requests
    assert gateway.runs[0].submission["runtime"] == "process"


def test_a_process_cannot_have_apt_packages(project):
    refused = project("run", "--runtime", "process", PYPI="x")
    assert (refused.returncode, "error[runtime_cannot]" in refused.stderr) == (3, True)
    assert "--runtime process" in refused.stderr


def test_a_wrong_gpu_is_refused_with_an_example(project):
    refused = project("plan", "--gpu", "24")
    assert (refused.returncode, "16GB" in refused.stderr or "L4" in refused.stderr) == (2, True)


def test_a_dockerfile_is_told_and_its_own_command_runs(cynthus, gateway):
    (cynthus.project / "Dockerfile").write_text("FROM python:3.12\nCMD python /opt/x.py\n")
    done = cynthus("run", "--no-fetch")
    assert done.returncode == 0, done.stderr
    assert "Dockerfile (the project's own; python, packages and apt settings are not used)" in done.stderr
    assert "entry" not in gateway.runs[0].submission


def test_secrets_in_the_source_are_told_and_never_shown(cynthus, gateway):
    (cynthus.project / "train.py").write_text("print(1)\n")
    token = "ghp_" + "aB3dE5gH7jK9" * 3
    (cynthus.project / "config").mkdir()
    (cynthus.project / "config" / "settings.yml").write_text(f"a: 1\ntoken: {token}\n")
    (cynthus.project / ".env").write_text("A=1\n")
    done = cynthus("run", "--no-fetch")
    assert "warning: secret in config/settings.yml:2 (GitHub token); add it to .cynthusignore" in done.stderr
    assert "warning: secret in .env (its name says so)" in done.stderr
    assert token not in done.stderr
    (cynthus.project / ".cynthusignore").write_text(".env\nconfig/\n")
    assert "secret in" not in cynthus("plan").stderr
