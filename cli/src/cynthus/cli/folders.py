"""Where the command keeps things on this machine (XDG; CYNTHUS_HOME for the platform's state)."""

import os
from pathlib import Path


def home() -> Path:
    """The platform's state: CYNTHUS_HOME, else `cynthus` under XDG_STATE_HOME or ~/.local/state."""
    own = os.environ.get("CYNTHUS_HOME")
    return Path(own).expanduser().absolute() if own else _xdg("XDG_STATE_HOME", ".local/state")


def cache() -> Path:
    """Things that may be deleted at any time."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def config() -> Path:
    """What the user told us, such as a login."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def _xdg(variable: str, fallback: str) -> Path:
    root = os.environ.get(variable)
    return (Path(root) if root else Path.home() / fallback) / "cynthus"
