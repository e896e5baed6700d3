"""What a run of the harness came to."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.causes import misnamed, outcomes
from tests.chaos.figures import delays
from tests.chaos.journal import Journal

_CALLED = {"I1": "lost", "I6": "twins", "I5": "orphans", "I12": "false kills"}
_JUDGED = re.compile(r"^(I\d+) .*?(\d+) violations", re.MULTILINE)


def report(folder: Path, least: Sequence[str] = ()) -> int:
    """Print the figures, have the evidence checked, and give the exit code."""
    journal = Journal(folder)
    faults = Counter(row["kind"] for row in journal.rows("faults"))
    broken = [row for row in journal.rows("harness") if row["what"] == "fault broke"]
    wrong = misnamed(folder)
    print(f"faults: {sum(faults.values())}")
    for kind, count in sorted(faults.items()):
        print(f"  {count:4} {kind}")
    for row in broken:
        print(f"  broke: {row['kind']}: {row['error'].strip().splitlines()[-1]}")
    ended = outcomes(folder)
    print(f"runs: {ended.total()}:", ", ".join(f"{state} {n}" for state, n in sorted(ended.items())))
    print("\n".join(delays(folder).lines()))
    for line in wrong:
        print(f"  misnamed: {line}")
    good, text = _verified(folder, least)
    print(text)
    counts = dict(_JUDGED.findall(text))
    named = ", ".join(f"{counts.get(number, '?')} {name}" for number, name in _CALLED.items())
    print(f"{ended.total()} runs, {sum(faults.values())} faults: {named}, {len(wrong)} misnamed causes")
    print(f"evidence in {folder}")
    return 0 if good and not wrong else 1


def _verified(folder: Path, least: Sequence[str]) -> tuple[bool, str]:
    asked = [argument for count in least for argument in ("--min", count)]
    command = [sys.executable, "-m", "tests.verify", str(folder), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, f"{done.stdout}{done.stderr}"
