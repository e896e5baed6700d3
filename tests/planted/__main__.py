"""`python -m tests.planted`: plant every bug, one after another; exit code 1 when one is not found."""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.planted.bugs import BUGS
from tests.planted.planting import SEEDS, Bug, NotPlanted, Verdict, judge, plant, scratch

_HEADER = """# Planted bugs

Written by `python -m tests.planted --write docs/planted.md`; `make planted` does the same without the page.

One line at a time is made wrong in a copy of the code, and the suite that is named must fail; the unchanged
code passes the same commands. The simulation stops at the first seed that breaks a promise: "5 seeds" means
that four passed before it. Letters such as A1 mark mistakes that other systems really made: A with machines,
B with leases and terminal states, C with messages, E with PostgreSQL.
"""


def main() -> int:
    """The exit code: 0 when the code as it is passes and every bug was found."""
    arguments = _arguments()
    chosen = [bug for bug in BUGS if not arguments.bugs or bug.name in arguments.bugs]
    with scratch() as code, ThreadPoolExecutor(arguments.jobs) as pool:
        ask = partial(_tried, code, seeds=arguments.seeds, limit_s=arguments.limit)
        catchers = list(dict.fromkeys(bug.catcher for bug in chosen))
        alarms = [sound for sound in pool.map(lambda one: ask(None, one), catchers) if sound.caught]
        for alarm in alarms:
            print("without a bug:", alarm.said)
        if alarms:
            return 1
        print(f"without a bug {len(catchers)} commands pass", flush=True)
        verdicts: list[Verdict] = []
        for verdict in pool.map(lambda bug: ask(bug, bug.catcher), chosen):
            verdicts.append(verdict)
            print(_line(verdict), flush=True)
    print(_sum(verdicts))
    if arguments.table:
        print("\n".join(_table(verdicts)))
    if arguments.write:
        arguments.write.write_text("\n".join([_HEADER, *_table(verdicts), "", _sum(verdicts), ""]))
    return 0 if all(verdict.caught for verdict in verdicts) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.planted")
    parser.add_argument("bugs", nargs="*", help="names of bugs; all without")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds the simulation may use for each")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds a suite may take")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--table", action="store_true", help="print the table of the documentation")
    parser.add_argument("--write", type=Path, help="write the page of the documentation")
    return parser.parse_args()


def _tried(code: Path, bug: Bug | None, catcher: Sequence[str], *, seeds: int, limit_s: float) -> Verdict:
    with scratch(code) as folder:
        if bug is not None:
            try:
                plant(folder, bug)
            except NotPlanted as problem:
                return Verdict(bug, caught=False, seconds=0.0, said=str(problem))
        return judge(folder, bug, catcher, seeds=seeds, limit_s=limit_s)


def _line(verdict: Verdict) -> str:
    bug = verdict.bug
    assert bug is not None
    state = "found " if verdict.caught else "MISSED"
    return f"{state} {bug.name:34} {verdict.seconds:6.1f} s {verdict.effort:>9}  {verdict.said[:200]}"


def _sum(verdicts: Sequence[Verdict]) -> str:
    caught = [verdict for verdict in verdicts if verdict.caught]
    seeds = sorted(verdict.seeds for verdict in caught if verdict.seeds is not None)
    said = f"{len(caught)} of {len(verdicts)} planted bugs were found"
    if not seeds:
        return f"{said}."
    median = statistics.median(seeds)
    return f"{said}, {len(seeds)} by the simulation: within {median:g} seeds (median), {seeds[-1]} at most."


def _table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "| planted bug | what it does | found by | needed | a test that fails as well |"
    yield "|---|---|---|---|---|"
    for verdict in verdicts:
        bug = verdict.bug
        assert bug is not None
        found = bug.suite if verdict.caught else "**not found**"
        yield f"| {bug.name} | {bug.what} | {found} | {verdict.effort} | {bug.second} |"


if __name__ == "__main__":
    sys.exit(main())
