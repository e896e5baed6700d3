"""The provider's configuration: kept in its folder, so that a restart goes on with what was set last."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cynthus.provisioner.hostile.knobs import PRESETS, Knobs, configured

_FILE = "config.json"


class Configuration:
    """Knobs that can be turned while the provider runs."""

    def __init__(self, folder: Path, seed: int, first: dict[str, Any], now: Callable[[], float]) -> None:
        """`first` is for the first start. Raises ValueError."""
        self._file = folder / _FILE
        self._now = now
        if self._file.exists():
            kept = json.loads(self._file.read_text())
            self.seed, self.restart, self._began = kept["seed"], kept["restart"] + 1, kept["began"]
            self._knobs = Knobs.model_validate(kept["knobs"])
        else:
            self.seed, self.restart, self._began = seed, 0, now()
            self._knobs = configured(first, PRESETS["hostile"])
        self._keep()

    @property
    def knobs(self) -> Knobs:
        """What applies now, with the schedule."""
        if not self._knobs.schedule:
            return self._knobs
        return self._knobs.at((self._now() - self._began) * self._knobs.speed)

    def change(self, document: dict[str, Any]) -> Knobs:
        """Set what is named, or a whole preset. Raises ValueError."""
        self._knobs = configured(document, self._knobs)
        self._keep()
        return self._knobs

    def heal(self) -> Knobs:
        """All knobs to harmless."""
        self._knobs = self._knobs.healed()
        self._keep()
        return self._knobs

    def document(self) -> dict[str, Any]:
        """As it is shown and kept."""
        return {
            "seed": self.seed,
            "restart": self.restart,
            "began": self._began,
            "knobs": self._knobs.model_dump(mode="json"),
            "now": self.knobs.model_dump(mode="json"),
        }

    def _keep(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self.document(), indent=2))
        new.replace(self._file)
