"""`python -m cynthus.provisioner.hostile`: a provider of machines that misbehaves, to rehearse with."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from cynthus.provisioner.hostile.knobs import PRESETS
from cynthus.provisioner.hostile.server import open_provider


def main() -> int:
    """0 after SIGTERM or SIGINT; 2 when it cannot start like this."""
    parser = argparse.ArgumentParser(prog="python -m cynthus.provisioner.hostile", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="its ledger, and its machines' disks")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7690, help="0: any free one")
    parser.add_argument("--seed", type=int, default=0, help="of everything it does by chance")
    parser.add_argument("--preset", choices=PRESETS, help="how hostile it is at its first start")
    parser.add_argument("--config", type=Path, help="a JSON file with knobs, for its first start")
    given = parser.parse_args()
    try:
        first = json.loads(given.config.read_text()) if given.config else {}
        if given.preset:
            first["preset"] = given.preset
        asyncio.run(_serve(given, first))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"hostile provider: {error}\n")
        return 2
    return 0


async def _serve(given: argparse.Namespace, first: dict[str, Any]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_provider(
        given.folder, host=given.host, port=given.port, seed=given.seed, first=first
    ) as (_, url):
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
