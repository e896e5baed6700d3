"""A bounded memory of recent answers."""

import time
from collections import OrderedDict
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """Keeps at most `size` values, each for `ttl_s` seconds; the least recently used go first."""

    def __init__(self, size: int, ttl_s: float = float("inf")) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._values: OrderedDict[_Key, tuple[float, _Value]] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        """The value, if it is still known."""
        found = self._values.get(key)
        if found is None or found[0] < time.monotonic():
            self._values.pop(key, None)
            return None
        self._values.move_to_end(key)
        return found[1]

    def put(self, key: _Key, value: _Value) -> None:
        """Remember a value."""
        self._values[key] = (time.monotonic() + self._ttl_s, value)
        self._values.move_to_end(key)
        while len(self._values) > self._size:
            self._values.popitem(last=False)
