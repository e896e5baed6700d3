"""What a run of the harness came to."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.figures import delays
from tests.chaos.journal import Journal


def report(folder: Path, least: Sequence[str] = ()) -> int:
    """Print the figures, have the evidence checked, and give the exit code."""
    journal = Journal(folder)
    faults = Counter(row["kind"] for row in journal.rows("faults"))
    print(f"faults: {sum(faults.values())}")
    for kind, count in sorted(faults.items()):
        print(f"  {count:4} {kind}")
    ended = Counter(
        row["answer"]["state"] for row in _last_answers(journal).values() if isinstance(row["answer"], dict)
    )
    print("runs:", ", ".join(f"{state} {count}" for state, count in sorted(ended.items())))
    print("\n".join(delays(folder).lines()))
    sys.stdout.flush()
    asked = [argument for count in least for argument in ("--min", count)]
    checked = subprocess.run([sys.executable, "-m", "tests.verify", str(folder), *asked], check=False)
    return checked.returncode


def _last_answers(journal: Journal) -> dict[str, dict[str, object]]:
    return {row["run"]: row for row in journal.rows("client") if row["op"] == "get" and row["status"] == 200}
