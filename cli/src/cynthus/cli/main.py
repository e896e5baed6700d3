"""The `cynthus` command: what can be said without loading anything is said here."""

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; the exit code (`cynthus help exit-codes`)."""
    given = sys.argv[1:] if arguments is None else arguments
    if given in (["--version"], ["-V"]):
        from cynthus.cli.version import VERSION

        sys.stdout.write(f"cynthus {VERSION}\n")
        return 0
    if given in (["--help"], ["-h"], ["help"]) or not (given or _completing()):
        from cynthus.cli.overview import overview

        sys.stdout.write(overview())
        return 0
    from cynthus.cli.app import run

    return run(given)


def _completing() -> bool:
    from os import environ

    return "_CYNTHUS_COMPLETE" in environ


if __name__ == "__main__":
    sys.exit(main())
