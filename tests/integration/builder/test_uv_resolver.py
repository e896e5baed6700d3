"""Locks from the real uv and the real package index."""

import subprocess
from dataclasses import replace

import pytest
from uv import find_uv_bin

from cynthus.builder.adapters.uv_resolver import UvResolver
from cynthus.builder.domain.lock import Lock, LockRefused, Target
from cynthus.builder.domain.pylock import parse_pylock
from cynthus.builder.ports import ResolverUnavailable
from cynthus.planning import MemoryTree, PlanRequest, plan
from cynthus.planning.document import Index

pytestmark = pytest.mark.timeout(120)
TARGET = Target("3.11", "linux/amd64", (2, 36))


async def lock(target=TARGET, resolver=None, secrets=None, indexes=(), **files: str) -> Lock:
    tree = MemoryTree({name.replace("__", "."): text for name, text in files.items()})
    made = replace(plan(tree, PlanRequest(entry="main.py")), indexes=tuple(indexes))
    resolver = resolver or UvResolver(str(find_uv_bin()), torch_backend="off")
    return await resolver.resolve(made, tree, target, secrets or {})


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
