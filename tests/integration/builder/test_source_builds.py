"""Wheels built from sources by the real tools, in the real sandbox."""

import asyncio
import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

from cynthus.builder.adapters.build_sandbox import Limits
from cynthus.builder.adapters.source_builds import SourceBuilds
from cynthus.builder.adapters.wheelhouse import Wheelhouse
from cynthus.builder.domain.lock import LockedPackage, LockRefused, Target
from cynthus.builder.domain.pylock import parse_pylock
from tests.integration.builder.package_index import sdist

pytestmark = [pytest.mark.timeout(180), pytest.mark.needs("bubblewrap")]
TARGET = Target()
SETUP = "from setuptools import setup\nsetup(name='one', version='1.0', packages=['one'])\n"
FILES = {"setup.py": SETUP, "one/__init__.py": "x = 1\n"}
EXTENSION = """
from setuptools import setup, Extension
setup(name='one', version='1.0', ext_modules=[Extension('one', ['one.c'])])
"""
C = """
#include <Python.h>
#include <string.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "one", 0, -1, 0};
void (*volatile wipe)(void *, size_t) = explicit_bzero;  /* of glibc 2.25 */
PyMODINIT_FUNC PyInit_one(void) { return PyModule_Create(&definition); }
"""


def builds(folder, **values):
    return SourceBuilds(folder, str(find_uv_bin()), **values)


def packed(folder: Path, files, name="one", version="1.0"):
    filename, data = sdist(name, version, files)
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / filename
    archive.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return LockedPackage(name, version, filename, archive.as_uri(), digest, len(data)), archive


async def refused(builder, package, archive, target=TARGET) -> LockRefused:
    with pytest.raises(LockRefused) as caught:
        await builder.wheel(package, archive, target)
    return caught.value


async def test_a_source_becomes_a_wheel_once_and_the_same_bytes_everywhere(tmp_path):
    package, archive = packed(tmp_path, FILES)
    one, two = builds(tmp_path / "a"), builds(tmp_path / "b")
    first, again, other = (
        await one.wheel(package, archive, TARGET),
        await builds(tmp_path / "a").wheel(package, tmp_path / "is-not-read", TARGET),
        await two.wheel(package, archive, TARGET),
    )
    assert first == again
    assert first.name == "one-1.0-py3-none-any.whl"
    assert first.read_bytes() == other.read_bytes()
    assert "one/__init__.py" in zipfile.ZipFile(first).namelist()
    assert not list(tmp_path.rglob(".build-*"))


async def test_two_builders_of_one_folder_build_once(tmp_path):
    package, archive = packed(tmp_path, FILES)
    house = tmp_path / "house"
    found = await asyncio.gather(*(builds(house).wheel(package, archive, TARGET) for _ in range(2)))
    assert found[0] == found[1]
    assert len(list(house.rglob("*.whl"))) == 1


async def test_c_code_is_compiled_for_this_machine(tmp_path):
    package, archive = packed(tmp_path, {"setup.py": EXTENSION, "one.c": C})
    wheel = await builds(tmp_path / "house").wheel(package, archive, TARGET)
    assert wheel.name.startswith("one-1.0-cp311-cp311-linux_")
    strange = Target(glibc=(2, 17))
    assert "glibc" in (await refused(builds(tmp_path / "house"), package, archive, strange)).message


async def test_without_a_compiler_the_refusal_says_so(tmp_path):
    package, archive = packed(tmp_path, {"setup.py": EXTENSION, "one.c": C})
    error = await refused(builds(tmp_path / "house", search_path="/nowhere"), package, archive)
    assert error.code == "compiler_missing"
    assert "gcc" in error.fix


async def test_build_code_sees_no_network_no_secret_and_nothing_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("CYNTHUS_SECRET", "canary-1")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "canary-2")
    spying = f"""
import os, socket, pathlib
seen = []
for address in (("127.0.0.1", {subprocess.os.getpid() % 1000 + 1}), ("pypi.org", 443)):
    try:
        socket.create_connection(address, timeout=2)
        seen.append("network")
    except ConnectionRefusedError:
        pass
    except OSError:
        pass
seen += [name for name, value in os.environ.items() if "canary" in value]
places = ({str(Path.home() / ".bashrc")!r}, "/home", "/srv", "/var", {str(tmp_path)!r}, "/etc/passwd", "/run")
seen += [path for path in places if pathlib.Path(path).exists()]
seen += ["processes"] if sum(name.isdigit() for name in os.listdir("/proc")) > 4 else []
try:
    open("/usr/canary", "w")
    seen.append("writable")
except OSError:
    pass
print("SEEN", seen)
open("one/seen.txt", "w").write(repr(seen))
from setuptools import setup
setup(name="one", version="1.0", packages=["one"], package_data={{"one": ["seen.txt"]}})
"""
    package, archive = packed(tmp_path, {**FILES, "setup.py": spying})
    wheel = await builds(tmp_path / "house").wheel(package, archive, TARGET)
    assert zipfile.ZipFile(wheel).read("one/seen.txt") == b"[]"


async def test_a_build_that_fails_shows_its_last_words(tmp_path):
    package, archive = packed(tmp_path, {"setup.py": "raise SystemExit('no luck today')\n"})
    error = await refused(builds(tmp_path / "house"), package, archive)
    assert error.code == "source_build_failed"
    assert any("no luck today" in line for line in error.evidence)
    assert str(tmp_path) not in "".join(error.evidence)
    assert not list((tmp_path / "house").rglob("*.whl"))


@pytest.mark.parametrize(
    ("code", "limits", "words"),
    [
        ("while True: pass", Limits(time_s=8.0), "too long"),
        (
            "import time\nfor n in range(50): open(f'f{n}', 'wb').write(bytes(1 << 20))\ntime.sleep(60)",
            Limits(disk=40 << 20, look_s=0.05),
            "disk",
        ),
        ("x = bytearray(3 << 30)", Limits(memory=1 << 30), "memory"),
    ],
)
async def test_a_build_that_takes_too_much_is_stopped(tmp_path, code, limits, words):
    package, archive = packed(tmp_path, {"setup.py": code})
    error = await refused(builds(tmp_path / "house", limits=limits), package, archive)
    assert error.code == "source_build_failed"
    assert words in error.message


async def test_a_backend_in_the_tree_and_requirements_it_names_later_are_honoured(tmp_path):
    backend = """
import zipfile
def get_requires_for_build_wheel(settings=None):
    return ["iniconfig"]
def build_wheel(folder, settings=None, metadata=None):
    import iniconfig
    name = "one-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("one.py", iniconfig.__name__)
    return name
"""
    project = '[build-system]\nrequires = []\nbuild-backend = "mine"\nbackend-path = ["tools"]\n'
    package, archive = packed(tmp_path, {"pyproject.toml": project, "tools/mine.py": backend})
    wheel = await builds(tmp_path / "house").wheel(package, archive, TARGET)
    assert zipfile.ZipFile(wheel).read("one.py") == b"iniconfig"


@pytest.mark.parametrize(
    "name",
    [
        "../evil-1.0-py3-none-any.whl",
        "two-1.0-py3-none-any.whl",
        "one-1.0-cp27-none-win32.whl",
        "one-2-py3-none-any.whl",
    ],
)
async def test_what_a_build_claims_to_have_made_is_checked(tmp_path, name):
    backend = f"""
def build_wheel(folder, settings=None, metadata=None):
    open(folder + "/" + {name!r}, "w").close()
    return {name!r}
"""
    project = '[build-system]\nrequires = []\nbuild-backend = "mine"\nbackend-path = ["."]\n'
    package, archive = packed(tmp_path, {"pyproject.toml": project, "mine.py": backend})
    assert (await refused(builds(tmp_path / "house"), package, archive)).code == "source_build_failed"


async def test_a_python_that_is_not_here_is_refused_by_name(tmp_path):
    package, archive = packed(tmp_path, FILES)
    error = await refused(builds(tmp_path / "house"), package, archive, Target("3.2"))
    assert error.code == "source_build_off"
    assert "Python 3.2" in error.message
    other = await refused(builds(tmp_path / "house"), package, archive, Target(platform="linux/s390x"))
    assert "linux/s390x" in other.message


async def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path):
    package, archive = packed(tmp_path, {"../../../evil": "x", **FILES})
    error = await refused(builds(tmp_path / "house"), package, archive)
    assert error.code == "source_unreadable"


async def test_a_commit_and_a_folder_are_built_too(tmp_path):
    project = tmp_path / "project"
    (project / "one").mkdir(parents=True)
    for path, text in FILES.items():
        (project / path).write_text(text)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(project)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (locked,) = parse_pylock(
        'lock-version = "1.0"\n[[packages]]\nname = "one"\nversion = "1.0"\n'
        f'vcs = {{ type = "git", url = "{project.as_uri()}", commit-id = "{commit}" }}\n',
        TARGET,
    )
    house = Wheelhouse(tmp_path / "wheels", builds(tmp_path / "house"))
    folder = LockedPackage("one", "1.0", "one", project.as_uri(), "5" * 64)
    found = await house.fetch([locked, folder], TARGET, (), {})
    assert {path.name for path in found.values()} == {"one-1.0-py3-none-any.whl"}
    gone = LockedPackage("one", "1.0", locked.filename, locked.url.replace(commit, "0" * 40), "6" * 64)
    assert (await refused(builds(tmp_path / "house"), gone, None)).code == "source_unreadable"


async def test_old_packages_that_want_pkg_resources_get_it(tmp_path):
    package, archive = packed(tmp_path, {**FILES, "setup.py": "import pkg_resources\n" + SETUP})
    assert (await builds(tmp_path / "house").wheel(package, archive, TARGET)).is_file()
