"""`python -m bench [name...] [option...]`: tables as Markdown on stdout, samples as JSON in bench/results."""

import asyncio
import importlib
import inspect
import json
import signal
import sys
import time
import traceback
from pathlib import Path

NAMES = [
    "cli",
    "server",
    "submit",
    "runs",
    "event_store",
    "bus",
    "images",
    "layers",
    "starts",
    "heartbeats",
    "exits",
    "recovery",
]
OPTIONS = {"quick", "cold", "process", "container", "workers", "services", "loss"}
"""Of single benchmarks, which say what they mean."""
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    failed = []
    for name in [name for name in names if name not in OPTIONS] or NAMES:
        try:
            tables = _run(name)
        except Exception:  # noqa: BLE001 - one failing benchmark must not hide the others
            traceback.print_exc()
            failed.append(name)
            continue
        for table in tables:
            print(table.markdown(), flush=True)
        RESULTS.mkdir(exist_ok=True)
        report = {"benchmark": name, "time": time.time(), "tables": [table.as_json() for table in tables]}
        (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str):
    if name not in NAMES:
        sys.exit(f"no benchmark {name!r}; there are: {', '.join(NAMES)}")
    print(f"{name} ...", file=sys.stderr, flush=True)
    tables = importlib.import_module(f"bench.{name}").run()
    return asyncio.run(tables) if inspect.isawaitable(tables) else tables


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
