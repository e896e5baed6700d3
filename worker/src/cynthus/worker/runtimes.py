"""How this machine can run programs."""

from cynthus.worker.settings import Settings


def runtimes(settings: Settings) -> list[str]:
    """`process`, what keeps a process apart, and the container engine."""
    from cynthus.environments import sandbox
    from cynthus.worker.containers.presence import names

    found = ["process"]
    if settings.sandbox != "off" and sandbox.available():
        found.append("bubblewrap")
    return found + names()
