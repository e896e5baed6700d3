"""Judges a folder of evidence: `python -m tests.verify FOLDER`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.verify.evidence import Evidence
from tests.verify.lines import EvidenceMissing
from tests.verify.report import NAMES, as_json, text, verify


def main(arguments: Sequence[str] | None = None) -> int:
    """0: everything holds and there was enough to look at. 1: not so. 2: asked wrongly."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument(
        "--min",
        action="append",
        default=[],
        type=_least,
        metavar="[NAME=]COUNT",
        help="how much must be looked at, for one invariant or for all; never zero",
    )
    asked = parser.parse_args(arguments)
    least: dict[str, int] = {}
    for name, count in asked.min:
        least |= dict.fromkeys(NAMES, count) if name is None else {name: count}
    try:
        evidence = Evidence(asked.folder)
        outcomes = verify(evidence, least)
    except EvidenceMissing as missing:
        print(f"verdict: NOT PROVED, the evidence is not whole: {missing}")
        return 1
    print((as_json if asked.json else text)(evidence, outcomes))
    return 0 if all(outcome.holds for outcome in outcomes) else 1


def _least(given: str) -> tuple[str | None, int]:
    name, equals, count = given.rpartition("=")
    if not count.isdecimal() or int(count) < 1:
        raise argparse.ArgumentTypeError("a count of at least 1")
    if equals and name not in NAMES:
        raise argparse.ArgumentTypeError(f"one of {', '.join(NAMES)}")
    return name or None, int(count)


if __name__ == "__main__":
    sys.exit(main())
