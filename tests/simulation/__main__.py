"""`python -m tests.simulation --seeds 1000`: many seeds; a failing one is printed and can be run again."""

import argparse
import gc
import logging
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

import structlog

from tests.simulation.seeds import Outcome, simulate

_SHOWN = 20
_COLLECT_EVERY = 25


def main() -> int:
    """0: no promise was broken in any seed."""
    asked = _arguments()
    quiet()
    if asked.seed is not None:
        return _one(asked.seed, verbose=asked.verbose)
    begun, total, failed = time.monotonic(), Totals(), 0
    for outcome in _outcomes(asked.start, asked.seeds, asked.jobs):
        total.add(outcome)
        if asked.digests:
            print(f"seed {outcome.seed}: {outcome.digest}")
        if outcome.violations:
            failed += 1
            print(f"seed {outcome.seed} failed: {outcome.violations[0]}", flush=True)
            if failed >= asked.stop_after:
                break
    total.show(time.monotonic() - begun)
    if asked.cells:
        total.show_cells()
    return 1 if failed else 0


def quiet() -> None:
    """Services say a lot when everything goes wrong; nobody listens here."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


class Totals:
    """The sum of all seeds."""

    def __init__(self) -> None:
        self.seeds = self.lifecycles = self.steps = 0
        self.simulated_s = 0.0
        self.slowest = (0.0, 0)
        self.faults: Counter[str] = Counter()
        self.cells: Counter[tuple[str, str, str]] = Counter()
        self.counts: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.seeds += 1
        self.lifecycles += outcome.lifecycles
        self.steps += outcome.steps
        self.simulated_s += outcome.simulated_s
        self.slowest = max(self.slowest, (outcome.converged_s, outcome.seed))
        self.faults += outcome.faults
        self.cells += outcome.cells
        self.counts += outcome.counts

    def show_cells(self) -> None:
        """What happened in which state, how often, and under how many kinds of faults."""
        met: dict[tuple[str, str], Counter[str]] = {}
        for (state, event, fault), count in self.cells.items():
            met.setdefault((state, event), Counter())[fault] += count
        for (state, event), faults in sorted(met.items()):
            print(f"{state:14} {event:24} {faults.total():8} in {len(faults):3} kinds of faults")

    def show(self, seconds: float) -> None:
        """For people."""
        print(
            f"{self.seeds} seeds, {self.lifecycles} run lifecycles, {self.faults.total()} faults of"
            f" {len(self.faults)} kinds, {len(self.cells)} (state, event, fault) cells,"
            f" {self.simulated_s / 3600:.1f} simulated hours, {self.steps} steps"
        )
        print(
            f"{seconds:.1f} s: {self.seeds / seconds:.1f} seeds/s,"
            f" {self.lifecycles / seconds:.1f} lifecycles/s;"
            f" longest until converged {self.slowest[0]:.0f} simulated s (seed {self.slowest[1]})"
        )
        print("outcomes:", ", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items())))
        print("faults:", ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items())))


def _outcomes(start: int, count: int, jobs: int) -> Iterator[Outcome]:
    seeds = range(start, start + count)
    gc.collect()
    gc.freeze()
    gc.disable()
    if jobs == 1:
        for number, seed in enumerate(seeds, 1):
            yield simulate(seed)
            if number % _COLLECT_EVERY == 0:
                gc.collect()
        return
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=None) as pool:
        yield from pool.imap_unordered(_simulated, seeds, chunksize=4)


def _simulated(seed: int) -> Outcome:
    outcome = simulate(seed)
    if seed % _COLLECT_EVERY == 0:
        gc.collect()
    return outcome


def _one(seed: int, *, verbose: bool) -> int:
    outcome = simulate(seed, verbose=verbose)
    for line in outcome.lines:
        print(line)
    print(f"seed {seed}: {outcome.digest}, {outcome.simulated_s:.0f} simulated s, {outcome.steps} steps")
    for violation in outcome.violations[:_SHOWN]:
        print(violation)
    return 1 if outcome.violations else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--start", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--stop-after", type=int, default=1, help="failing seeds")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--cells", action="store_true", help="print what was met in which state")
    parser.add_argument("--digests", action="store_true", help="print what tells equal runs")
    parser.add_argument("--verbose", action="store_true", help="print what happened")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
