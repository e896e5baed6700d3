"""What names a layer before it is made: equal keys, equal layers."""

import hashlib
from collections.abc import Iterable

from cynthus.builder.packing.layer import CONVERTER
from cynthus.builder.packing.source import LARGEST_BYTES


def wheel_key(sha256: str, python: str) -> str:
    """Of a wheel's layer, by the wheel's hash and a Python such as 3.11."""
    return f"wheel-{CONVERTER}-{python}-{_hex(sha256)}"


def packages_key(sha256s: Iterable[str], python: str) -> str:
    """Of the layer of several wheels, whatever their order."""
    return f"packages-{CONVERTER}-{python}-{_hash(*sorted(_hex(sha256) for sha256 in sha256s))}"


def venv_key(python: str, interpreter: str) -> str:
    """Of the layer that is the environment itself, by the path of the base's interpreter."""
    return f"venv-{CONVERTER}-{python}-{_hash(interpreter)}"


def source_key(snapshot: str, largest_bytes: int = LARGEST_BYTES) -> str:
    """Of a project's layer, by its snapshot's digest."""
    return f"source-{CONVERTER}-{largest_bytes}-{_hex(snapshot)}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _hash(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
