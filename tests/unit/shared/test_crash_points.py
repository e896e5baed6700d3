import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from cynthus.runtime import crash_points
from cynthus.runtime.crash_points import NAMES, CrashPointUnknown, armed
from tests.unit.shared.test_settings import settings

ROOT = Path(__file__).parents[3]
REACHED = re.compile(r'\breach\("([^"]+)"\)')
WALK = """
import sys
from cynthus.runtime.crash_points import reach
for name in sys.argv[1:]:
    print(name, flush=True)
    reach(name)
print("end")
"""


def walk(*names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WALK, *names], env=environment, capture_output=True, text=True, check=False
    )


def test_every_place_in_the_code_is_listed_and_nothing_else() -> None:
    sources = [*(ROOT / "shared").rglob("src/**/*.py"), *(ROOT / "services").rglob("src/**/*.py")]
    found = [name for path in sources for name in REACHED.findall(path.read_text())]
    assert set(found) == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_an_armed_process_dies_where_it_was_told_and_says_so_first(tmp_path: Path) -> None:
    log = tmp_path / "crashes"
    first, second = NAMES[:2]
    ended = walk(first, second, first, CYNTHUS_CRASH_AT=second, CYNTHUS_CRASH_LOG=str(log))
    assert (ended.returncode, ended.stdout.split()) == (-signal.SIGKILL, [first, second])
    assert log.read_text() == f"{second}\n"


def test_it_may_be_told_to_pass_by_some_times() -> None:
    name = NAMES[0]
    assert walk(name, name, name, CYNTHUS_CRASH_AT=f"{name}:3").stdout.split() == [name] * 3
    assert walk(name, name, CYNTHUS_CRASH_AT=f"{name}:3").stdout.split() == [name, name, "end"]


def test_unarmed_nothing_happens() -> None:
    assert walk(*NAMES).stdout.split() == [*NAMES, "end"]


@pytest.mark.parametrize("text", ["nowhere", f"{NAMES[0]}:0", f"{NAMES[0]}:x", f"{NAMES[0]}:"])
def test_a_place_that_does_not_exist_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrashPointUnknown, match=NAMES[1]):
        armed({crash_points.SETTING: text})
    monkeypatch.setenv(crash_points.SETTING, text)
    with pytest.raises(ValidationError, match=crash_points.SETTING):
        settings(environment="embedded")


def test_production_does_not_start_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(crash_points.SETTING, NAMES[0])
    with pytest.raises(ValidationError, match=crash_points.SETTING):
        settings()
    assert settings(environment="embedded")
