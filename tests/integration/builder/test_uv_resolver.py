"""Locks from the real uv and the real package index."""

import subprocess

import pytest
from uv import find_uv_bin

from cynthus.builder.adapters.uv_resolver import UvResolver
from cynthus.builder.ports import LockRefused
from cynthus.planning import MemoryTree, PlanRequest, plan

pytestmark = pytest.mark.timeout(120)


async def lock(**files: str):
    tree = MemoryTree({name.replace("__", "."): text for name, text in files.items()})
    made = plan(tree, PlanRequest(entry="main.py"))
    return await UvResolver(str(find_uv_bin())).resolve(made, tree)


async def test_every_package_of_a_lock_is_pinned_with_hashes():
    locked = await lock(main__py="import iniconfig, pluggy")
    assert locked.packages == 2
    assert "iniconfig==" in locked.text
    assert locked.text.count("--hash=sha256:") >= 2
    assert "://" not in locked.text


async def test_no_requirements_need_no_resolver():
    assert (await lock(main__py="print(1)")).packages == 0


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


async def test_a_projects_own_lock_wins_and_what_it_lacks_comes_on_top(tmp_path):
    project = (
        '[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["iniconfig<2.1"]\n'
    )
    (tmp_path / "pyproject.toml").write_text(project)
    subprocess.run([find_uv_bin(), "lock", "--quiet"], cwd=tmp_path, check=True)
    files = {"pyproject__toml": project, "uv__lock": (tmp_path / "uv.lock").read_text()}
    frozen = await lock(main__py="import iniconfig", **files)
    assert "iniconfig==2.0" in frozen.text
    added = await lock(main__py="import iniconfig, pluggy", **files)
    assert "iniconfig==2.0" in added.text
    assert "pluggy==" in added.text
