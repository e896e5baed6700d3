"""Two things at once."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Beside(Generic[Result]):
    """A call in a thread of its own; `result` gives what it gave, or raises what it raised."""

    def __init__(self, name: str, call: Callable[[], Result]) -> None:
        self._call = call
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def result(self) -> Result:
        """Waits for it."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def join(self) -> None:
        """Wait for its end, whatever it is."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            self._error = error
