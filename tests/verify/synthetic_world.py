"""Evidence of a platform as all observers would write it, in memory until `write`.

Written from the formats alone; times are seconds since the story began.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]

EPOCH_S = 1_800_000_000.0
OWNER = "local"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class World:
    """All observers' files, and the services' tables."""

    def __init__(self) -> None:
        self.files: dict[str, list[Row]] = {"processes": [], "faults": []}
        self.versions: dict[tuple[str, str], int] = {}
        self.settings: Row = {
            "seed": 7,
            "lease_s": 12.0,
            "machine_grace_s": 10.0,
            "grace_s": 3.0,
            "slots": 8,
            "warm": 0,
            "max_attempts": 6,
        }

    def add(self, name: str, **row: Any) -> Row:
        self.files.setdefault(name, []).append(row)
        return row

    def rows(self, name: str, **wanted: Any) -> list[Row]:
        """Rows that have these values."""
        found = self.files.get(name, [])
        return [row for row in found if all(row.get(key) == value for key, value in wanted.items())]

    def decide(self, schema: str, run: str, kind: str, at: float, by: Row | None = None, **data: Any) -> Row:
        """A service records a fact of its own, and the bus carries it."""
        row = self._record(schema, run, kind, at, data)
        row |= {"causation_id": None if by is None else by["id"], "decided": True, "source": schema}
        self.add(
            "bus",
            t=EPOCH_S + at + 0.02,
            id=row["id"],
            type=row["type"],
            source=schema,
            subject=f"runs/{run}",
            sequence=f"{row['version']:010d}",
            data=dict(row["data"]),
        )
        return row

    def take(self, schema: str, fact: Row) -> Row:
        """Another service takes a fact over."""
        run = fact["data"]["run_id"]
        row = self._record(schema, run, fact["kind"], fact["t"], fact["data"])
        row |= {"id": fact["id"], "source": fact["source"], "causation_id": fact["causation_id"]}
        row["decided"] = False
        handled = {"attempts": 0, "handled_at": row["at"], "last_error": None}
        self.add(f"sql/{schema}.inbox", consumer=schema, event_id=fact["id"], **handled)
        return row

    def _record(self, schema: str, run: str, kind: str, at: float, data: Row) -> Row:
        stream = f"run-{run}"
        version = self.versions[schema, stream] = self.versions.get((schema, stream), 0) + 1
        return self.add(
            f"sql/{schema}.events",
            stream=stream,
            version=version,
            id=f"evt-{schema}-{run}-{version}",
            type=f"dev.cynthus.{kind}.v1",
            actor=f"service:{schema}",
            at=EPOCH_S + at,
            data={"run_id": run} | data,
            kind=kind,
            t=at,
        )

    def store(self, key: str, data: bytes) -> str:
        """An object, with its content where it is small."""
        if not self.rows("blobs", key=key):
            content = base64.b64encode(data).decode()
            self.add("blobs", key=key, size=len(data), sha256=sha256(data), content=content)
        return sha256(data)

    def fault(self, t0: float, t1: float, kind: str, target: str, detail: str = "") -> None:
        self.add("faults", t0=EPOCH_S + t0, t1=EPOCH_S + t1, kind=kind, target=target, detail=detail)

    def finish(self, healed: float, ended: float) -> None:
        """The tables as they are at the end, and the same made anew."""
        self.settings |= {"healed_at": EPOCH_S + healed, "ended_at": EPOCH_S + ended}
        for name in ("orchestrator.runs", "orchestrator.attempts", "gateway.submissions"):
            self.files[f"rebuilt/{name}"] = [dict(row) for row in self.rows(f"sql/{name}")]

    def write(self, folder: Path) -> Path:
        """The evidence folder."""
        for name, rows in self.files.items():
            path = folder / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "settings.json").write_text(json.dumps(self.settings))
        return folder
