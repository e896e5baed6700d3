"""Locks from the real uv and the real package index."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from cynthus.builder.adapters.source_builds import SourceBuilds
from cynthus.builder.adapters.uv_resolver import UvResolver
from cynthus.builder.adapters.wheelhouse import Wheelhouse
from cynthus.builder.domain.lock import Lock, LockRefused, Target
from cynthus.builder.domain.pylock import parse_pylock
from cynthus.builder.ports import ResolverUnavailable
from cynthus.planning import MemoryTree, PlanRequest, plan
from cynthus.planning.document import Entry, Index, Plan, Requirement
from tests.integration.builder.package_index import CANARY, USER, sdist, serving, wheel

pytestmark = pytest.mark.timeout(120)
TARGET = Target("3.11", "linux/amd64", (2, 36))


async def lock(target=TARGET, resolver=None, secrets=None, indexes=(), **files: str) -> Lock:
    tree = MemoryTree({name.replace("__", "."): text for name, text in files.items()})
    made = replace(plan(tree, PlanRequest(entry="main.py")), indexes=tuple(indexes))
    resolver = resolver or UvResolver(str(find_uv_bin()), torch_backend="off")
    return await resolver.resolve(made, tree, target, secrets or {})


def building(folder, **values) -> UvResolver:
    uv = str(find_uv_bin())
    wheels = Wheelhouse(folder / "wheels", SourceBuilds(folder / "built", uv))
    return UvResolver(uv, wheels, **{"torch_backend": "off", **values})


def versions(locked: Lock) -> dict[str, str]:
    return {package.name: package.version for package in locked.packages}


async def test_every_package_of_a_lock_is_one_wheel_with_address_hash_and_size():
    locked = await lock(main__py="import iniconfig, pluggy")
    assert sorted(versions(locked)) == ["iniconfig", "pluggy"]
    assert all(package.is_wheel and package.size and not package.private for package in locked.packages)
    assert all(package.url.startswith("https://") for package in locked.packages)
    assert locked.requirements().count("--hash=sha256:") == 2
    assert "://" not in locked.requirements()
    assert parse_pylock(locked.text, TARGET) == locked.packages
    assert Lock.from_json(locked.to_json()) == locked


async def test_wheels_are_of_the_targets_platform_and_python_and_not_of_this_machines():
    locked = await lock(Target("3.12", "linux/arm64", (2, 31)), main__py="import yaml")
    assert "cp312" in locked.packages[0].filename
    assert "aarch64" in locked.packages[0].filename


@pytest.mark.parametrize(
    ("requirements", "some"),
    [
        ("PyYAML\n", {"pyyaml"}),
        ("numpy\nscikit-learn\n", {"numpy", "scikit-learn", "scipy", "joblib", "threadpoolctl"}),
        ("opencv-python\n", {"opencv-python", "numpy"}),
    ],
)
async def test_well_known_packages_lock_to_wheels(requirements, some):
    locked = await lock(main__py="print(1)", requirements__txt=requirements)
    assert some <= set(versions(locked))
    assert all(package.is_wheel for package in locked.packages)


async def test_no_requirements_need_no_resolver():
    assert (await lock(main__py="print(1)")).packages == ()


async def test_a_package_that_does_not_exist_is_named():
    with pytest.raises(LockRefused) as refused:
        await lock(main__py="print(1)", requirements__txt="no-such-dist-xyz-123\n")
    assert refused.value.code == "dependency_not_found"
    assert "no-such-dist-xyz-123" in refused.value.message


async def test_a_conflict_is_explained_as_the_resolver_explains_it():
    with pytest.raises(LockRefused) as refused:
        await lock(main__py="print(1)", requirements__txt="iniconfig==2.0.0\niniconfig>=2.1\n")
    assert refused.value.code == "dependency_conflict"
    assert any("unsatisfiable" in line for line in refused.value.evidence)


async def test_a_package_for_other_machines_only_is_named_with_the_machines_it_has():
    with pytest.raises(LockRefused) as refused:
        await lock(main__py="print(1)", requirements__txt="pywin32\n")
    assert refused.value.code == "wheel_missing"
    assert "pywin32" in refused.value.message
    assert "win_amd64" in refused.value.message
    assert "linux/amd64" in refused.value.message


async def test_a_projects_own_lock_wins_and_what_it_lacks_comes_on_top(tmp_path):
    project = (
        '[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.11"\n'
        'dependencies = ["iniconfig<2.1", "colorama; sys_platform == \'win32\'"]\n'
    )
    (tmp_path / "pyproject.toml").write_text(project)
    subprocess.run([find_uv_bin(), "lock", "--quiet"], cwd=tmp_path, check=True)
    files = {"pyproject__toml": project, "uv__lock": (tmp_path / "uv.lock").read_text()}
    frozen = await lock(main__py="import iniconfig", **files)
    assert sorted(versions(frozen)) == ["iniconfig"]
    assert versions(frozen)["iniconfig"].startswith("2.0")
    added = await lock(main__py="import iniconfig, pluggy", **files)
    assert versions(added)["iniconfig"] == versions(frozen)["iniconfig"]
    assert "pluggy" in versions(added)


async def test_an_index_that_gives_no_answer_can_be_tried_again(monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    nowhere = Index(name="corp", url="http://127.0.0.1:9/simple")
    with pytest.raises(ResolverUnavailable) as silent:
        await lock(main__py="import iniconfig", indexes=[nowhere])
    assert "cannot be reached" in silent.value.message


async def test_a_package_without_wheels_is_built_and_what_it_needs_is_locked_too(tmp_path):
    setup = (
        "from setuptools import setup\nimport os\n"
        f"open({str(tmp_path / 'escaped')!r}, 'w').close() if os.path.isdir({str(tmp_path)!r}) else None\n"
        "setup(name='only-source', version='1.' + str(1 + 1), py_modules=['m'],\n"
        "      install_requires=['iniconfig'])\n"
    )
    name, data = sdist("only-source", "1.2", {"setup.py": setup, "m.py": ""})
    with serving(files={name: data}) as index:
        resolver = building(tmp_path, extra_indexes=[index.url])
        locked = await lock(resolver=resolver, main__py="1", requirements__txt="only-source>=1\npluggy\n")
        assert sorted(versions(locked)) == ["iniconfig", "only-source", "pluggy"]
        source = locked.packages[1]
        assert not source.is_wheel
        assert versions(locked)["only-source"] == "1.2"
        found = await Wheelhouse(tmp_path / "wheels", SourceBuilds(tmp_path / "built", "no-uv")).fetch(
            [source], TARGET, (), {}
        )
    assert found[source.sha256].name == "only_source-1.2-py3-none-any.whl"
    assert not (tmp_path / "escaped").exists()


async def test_docopt_has_no_wheels_and_works_all_the_same(tmp_path):
    locked = await lock(resolver=building(tmp_path), main__py="1", requirements__txt="docopt\n")
    assert versions(locked) == {"docopt": "0.6.2"}
    with pytest.raises(LockRefused) as refused:
        await lock(main__py="1", requirements__txt="docopt\n")
    assert refused.value.code == "source_build_off"


async def test_a_commit_of_a_repository_is_locked_with_its_needs(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "m.py").write_text("")
    (project / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='by-commit', version='3.' + '1', py_modules=['m'], install_requires=['iniconfig'])\n"
    )
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-C", str(project)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    text = f"by-commit @ git+{project.as_uri()}"
    requirement = Requirement(text=text, name="by-commit", why="test", source="requirements.txt:1")
    entry = Entry(kind="script", target="main.py", found="test")
    made = Plan(entry=entry, command=("python", "main.py"), python="3.11", python_source="test",
                requirements=(requirement,))  # fmt: skip
    locked = await building(tmp_path).resolve(made, MemoryTree({}), TARGET, {})
    assert versions(locked) == {"by-commit": "3.1", "iniconfig": versions(locked)["iniconfig"]}
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert locked.packages[0].url.endswith(f"@{commit.stdout.strip()}")
    assert parse_pylock(locked.text, TARGET) == locked.packages


async def test_a_private_index_is_opened_by_a_secret_that_appears_nowhere(tmp_path):
    files = dict([wheel("inner", "2.0", requires=["iniconfig"]), wheel("outer", "1.0")])
    with serving(files=files, password=CANARY) as index:
        corp = Index(name="corp", url=index.url, secret="CORP_TOKEN")
        given = {"CORP_TOKEN": f"{USER}:{CANARY}"}
        resolver = building(tmp_path)
        asked = {"main__py": "1", "requirements__txt": "inner\n", "indexes": [corp], "resolver": resolver}
        locked = await lock(secrets=given, **asked)
        private = {package.name: package.index for package in locked.packages}
        assert private == {"inner": "corp", "iniconfig": None}
        assert CANARY not in locked.to_json()
        fetched = await Wheelhouse(tmp_path / "wheels").fetch(locked.packages, TARGET, [corp], given)
        assert len(fetched) == 2
        with pytest.raises(LockRefused) as refused:
            await lock(secrets={"CORP_TOKEN": f"{USER}:wrong-canary"}, **asked)
        with pytest.raises(LockRefused) as missing:
            await lock(**asked)
    assert refused.value.code == "index_unauthorized"
    assert "CORP_TOKEN" in refused.value.fix
    assert "wrong-canary" not in "".join(refused.value.evidence)
    assert missing.value.code == "secret_missing"
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes()


async def test_a_secret_is_never_an_argument_of_a_process(tmp_path):
    with serving(files=dict([wheel("inner", "2.0")]), password=CANARY) as index:
        program = tmp_path / "uv"
        program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {find_uv_bin()} "$@"\n')
        program.chmod(0o755)
        corp = Index(name="corp", url=index.url, secret="CORP")
        resolver = UvResolver(str(program), torch_backend="off")
        secrets = {"CORP": f"{USER}:{CANARY}"}
        await lock(
            resolver=resolver, secrets=secrets, indexes=[corp], main__py="1", requirements__txt="inner\n"
        )
    written = (tmp_path / "arguments").read_text()
    assert "pip compile" in written
    assert CANARY not in written


async def test_what_a_private_index_has_is_not_taken_from_the_public_one(tmp_path):
    with serving(files=dict([wheel("iniconfig", "0.0.1")])) as index:
        corp = Index(name="corp", url=index.url)
        locked = await lock(indexes=[corp], main__py="1", requirements__txt="iniconfig\n")
    assert versions(locked) == {"iniconfig": "0.0.1"}
    assert locked.packages[0].private


async def test_an_index_with_a_wheel_for_another_machine_only_is_refused_with_its_machines():
    with serving(files=dict([wheel("gizmo", "1.0", "cp311-cp311-win_amd64")])) as index:
        resolver = UvResolver(str(find_uv_bin()), extra_indexes=[index.url], torch_backend="off")
        with pytest.raises(LockRefused) as refused:
            await lock(resolver=resolver, main__py="1", requirements__txt="gizmo\n")
    assert refused.value.code == "wheel_missing"
    assert "win_amd64" in refused.value.message


async def test_torch_for_processors_comes_from_a_folder_where_pytorchs_index_is_off(tmp_path):
    name, data = wheel("torch", "2.13.0+cpu", "cp311-cp311-manylinux_2_28_x86_64", requires=["iniconfig"])
    (tmp_path / name).write_bytes(data)
    resolver = UvResolver(str(find_uv_bin()), find_links=[str(tmp_path)], torch_backend="off")
    locked = await lock(resolver=resolver, main__py="import torch")
    torch = next(package for package in locked.packages if package.name == "torch")
    assert torch.version == "2.13.0+cpu"
    assert torch.size == len(data)
    assert Path(torch.url.removeprefix("file://").replace("%2B", "+")).is_file()
    assert locked.min_driver is None
    assert any("no GPU" in note for note in locked.notes)
    # Another version is wanted: the folder's build does not stand in its way.
    pinned = await lock(resolver=resolver, main__py="1", requirements__txt="torch==2.12.0\n")
    assert versions(pinned)["torch"] == "2.12.0"
    assert any("CUDA libraries" in note for note in pinned.notes)


async def test_pytorchs_index_out_of_reach_is_named_with_the_setting(monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "pypi.org,files.pythonhosted.org")
    resolver = UvResolver(str(find_uv_bin()))
    with pytest.raises(ResolverUnavailable) as silent:
        await lock(resolver=resolver, main__py="import torch")
    assert "PyTorch" in silent.value.message
    assert "CYNTHUS_BUILDER_TORCH_BACKEND" in silent.value.fix


async def test_a_gpu_decides_the_driver_that_its_machine_must_have():
    resolver = UvResolver(str(find_uv_bin()), torch_backend="off")
    tree = MemoryTree({"main.py": "1", "requirements.txt": "torch==2.13.0\n"})
    made = replace(plan(tree, PlanRequest(entry="main.py")), gpu="L4:1")
    locked = await resolver.resolve(made, tree, TARGET, {})
    assert locked.min_driver == "580.65.06"
    with pytest.raises(LockRefused) as refused:
        await resolver.resolve(replace(made, gpu="V100"), tree, TARGET, {})
    assert refused.value.code == "gpu_unsupported"
    assert "V100" in refused.value.message
