"""Temporary folders of killed builders go, what is new or kept stays."""

import os
import time

from cynthus.builder.adapters.leftovers import tidy


def made(folder, name, hours):
    path = folder / name
    path.mkdir(parents=True)
    (path / "layer.tar.gz").write_bytes(b"x")
    os.utime(path, (time.time() - hours * 3600,) * 2)
    return path


def test_only_old_temporary_folders_go(tmp_path):
    old = [made(tmp_path, name, 3) for name in ("source-1", "layer-2", "system-3", ".build-4", "imports-5")]
    young = made(tmp_path, "layer-6", 1)
    kept = made(tmp_path, "bases", 3000)
    assert tidy([tmp_path, tmp_path / "nothing here"]) == len(old)
    assert not [path for path in old if path.exists()]
    assert young.exists()
    assert kept.exists()
