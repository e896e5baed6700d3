"""The command line of the harness."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from tests.chaos.nemesis import Nemesis, OneByOne
from tests.chaos.report import report
from tests.chaos.scene import Trouble, play
from tests.chaos.settings import Settings
from tests.chaos.stage import Stage


def main(arguments: Sequence[str]) -> int:
    """0 when everything that was promised held."""
    given = _parser().parse_args(arguments)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="cynthus-chaos-"))
    settings = Settings(
        seed=given.seed if given.seed is not None else int(time.time()) % 1_000_000,
        runs=given.runs or (None if given.minutes else Settings().runs),
        minutes=given.minutes,
        in_flight=given.in_flight,
        bus=given.bus,
        calm=given.calm,
        faults=tuple(given.fault or ()),
        lease_s=given.lease,
    )
    print(f"seed {settings.seed}, evidence in {folder}", flush=True)
    uvloop.run(play(folder, settings, _trouble(settings, one_by_one=given.one_by_one)))
    return report(folder, given.min)


def _trouble(settings: Settings, *, one_by_one: bool) -> Trouble:
    if settings.calm:
        return calm
    kind = OneByOne if one_by_one else Nemesis
    return kind(settings.seed, settings.faults)


async def calm(stage: Stage, healed: asyncio.Event) -> None:
    """No trouble at all; whoever judges the evidence is told so."""
    now = time.time()
    stage.journal.write("faults", t0=now, t1=now, kind="calm", target="nothing", detail=None)
    await healed.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the schedule of faults and of the runs")
    parser.add_argument("--runs", type=int, help="submit so many; 60, or with --minutes no limit")
    parser.add_argument("--minutes", type=float, help="submit for so long at most")
    parser.add_argument("--in-flight", type=int, default=24)
    parser.add_argument("--bus", choices=("pubsub", "postgres"), default="pubsub")
    parser.add_argument("--calm", action="store_true", help="no faults")
    parser.add_argument("--fault", type=int, action="append", help="only this one; may be repeated")
    parser.add_argument("--one-by-one", action="store_true", help="each fault alone, and only once")
    parser.add_argument("--lease", type=float, default=Settings().lease_s, help="of an attempt, in seconds")
    parser.add_argument("--min", action="append", default=[], help="as of python -m tests.verify")
    parser.add_argument("--folder", type=Path, help="where the evidence goes")
    return parser
