"""`python -m cynthus.embedded`: run the platform; `--down`: stop everything it started."""

import asyncio
import os
import sys
import time
from typing import NoReturn

from cynthus.embedded.home import Home

_FAILED = 3


def main() -> None:
    """Run or stop the platform of CYNTHUS_HOME. Exit code 3 with one clear line when that cannot be done."""
    home = Home.find()
    try:
        if "--down" in sys.argv[1:]:
            _down(home)
        else:
            _up(home)
    except Exception as error:
        if os.environ.get("CYNTHUS_DEBUG"):
            raise
        _fail(error)


def _down(home: Home) -> None:
    from cynthus.embedded.down import down

    stopped = asyncio.run(down(home))
    print("stopped: " + ", ".join(stopped) if stopped else "nothing was running")  # noqa: T201 - the answer


def _up(home: Home) -> None:
    import uvloop

    from cynthus.embedded.alone import AlreadyRunning, alone
    from cynthus.runtime import logging as process_log

    home.prepare()
    try:
        with alone(home.lock):
            process_log.configure("embedded")
            uvloop.run(_run(home))
    except AlreadyRunning:
        print(f"a platform runs on {home.root} already")  # noqa: T201 - the answer


async def _run(home: Home) -> None:
    from cynthus.embedded import port
    from cynthus.embedded.database import open_cluster
    from cynthus.embedded.platform import migrate_all, open_embedded
    from cynthus.embedded.settings import embedded_settings
    from cynthus.runtime.health import installed_version
    from cynthus.runtime.serve import serve

    with port.take(home) as taken:
        number = taken.getsockname()[1]
        url = f"http://{port.HOST}:{number}"
        async with open_cluster(home) as database_url:
            settings = embedded_settings(home, url, database_url)
            await migrate_all(database_url)
            home.describe(
                url=url,
                port=number,
                pid=os.getpid(),
                started=time.time(),
                version=installed_version("embedded"),
            )
            async with open_embedded(settings) as service:
                await serve(service, taken)


def _fail(error: Exception) -> NoReturn:
    what = getattr(error, "what", None) or str(error) or type(error).__name__
    fix = getattr(error, "fix", None)
    print(f"cannot start: {what}" + (f"; {fix}" if fix else ""), file=sys.stderr)  # noqa: T201 - the only channel
    sys.exit(_FAILED)


if __name__ == "__main__":
    main()
