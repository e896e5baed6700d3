"""Which interpreter an environment is made from."""

import sys
from pathlib import Path

from cynthus.worker.environments import interpreter_for


def test_the_workers_own_interpreter_serves_its_own_version():
    found = interpreter_for(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert Path(found).samefile(sys.base_prefix + "/bin/python3")


def test_any_other_version_is_left_to_uv():
    assert interpreter_for("3.99") == "3.99"
