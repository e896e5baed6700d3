"""One run of a platform that does everything right, step by step."""

import json
from typing import Any

from tests.verify.manifests import HEADER, digest_of
from tests.verify.synthetic_world import EPOCH_S, OWNER, Row, World, sha256


class Story:
    """One run: what each party does next, in the order it happens; `t` is now."""

    def __init__(self, world: World, number: int, t: float) -> None:
        self.world, self.t = world, t
        self.run, self.key = f"run_{number:026d}", f"key-{number}"
        self.state = "QUEUED"
        self.outputs: Row | None = None
        self.manifest: str | None = None
        self.machines: dict[int, str] = {}
        self.logs: dict[int, bytes] = {}
        self.chunks: dict[int, int] = {}
        self.pid = number * 100

    def wait(self, seconds: float) -> "Story":
        self.t += seconds
        return self

    def own(self, kind: str, by: Row | None = None, **data: Any) -> Row:
        """The orchestrator decides."""
        return self.world.decide("orchestrator", self.run, kind, self.t, by, **data)

    def other(self, schema: str, kind: str, by: Row | None = None, **data: Any) -> Row:
        """Another service decides, and the orchestrator takes it over."""
        fact = self.world.decide(schema, self.run, kind, self.t, by, **data)
        self.world.take("orchestrator", fact)
        return fact

    # What users do

    def ask(self, op: str, status: int | None, answer: Any = None, **more: Any) -> Row:
        """A request of 20 ms that is answered now."""
        t0, t1 = EPOCH_S + self.t - 0.01, EPOCH_S + self.t + 0.01
        row = {"t0": t0, "t1": t1, "op": op, "run": self.run, "key": None, "status": status, "answer": answer}
        return self.world.add("client", **{**row, "sent": None, **more})

    def shown(self) -> Row:
        """The Run resource as it is now."""
        version = self.world.versions.get(("orchestrator", f"run-{self.run}"), 1)
        return {"id": self.run, "name": self.key, "project": "p", "state": self.state, "version": version,
                "outputs": self.outputs}  # fmt: skip

    def get(self) -> "Story":
        self.ask("get", 200, self.shown())
        return self.wait(0.05)

    def submit(self, *, answered: bool = True, **spec: Any) -> "Story":
        """Asked for, by somebody who asks again when he hears nothing."""
        program = f"print({self.run!r})".encode()
        name = self.world.store(f"owners/{OWNER}/blobs/{sha256(program)[:2]}/{sha256(program)}", program)
        self.ask("upload", 201, sent={"sha256": name}, run=None)
        sent = {"snapshot": "sha256:0", **spec}
        first = {"id": self.run, "name": self.key, "project": "p", "state": "QUEUED", "version": 1}
        self.wait(0.05)
        if not answered:
            self.ask("create", None, key=self.key, sent=sent, run=None)
            self.wait(0.5)
        self.ask("create", 202, first, key=self.key, sent=sent, run=None if answered else self.run)
        asked = self.world.decide(
            "gateway", self.run, "run.requested", self.t, owner=OWNER, spec=sent, idempotency_key=self.key
        )
        submission = {"run_id": self.run, "owner": OWNER, "idempotency_key": self.key, "acknowledged": True}
        self.world.add("sql/gateway.submissions", **submission)
        self.wait(0.05)
        self.world.take("orchestrator", asked)
        queued = self.own("run.queued", asked)
        self.world.take("gateway", queued)
        self.state = "BUILDING"
        return self.wait(0.05).get()

    def cancel(self) -> "Story":
        self.ask("cancel", 202, self.shown())
        fact = self.world.decide("gateway", self.run, "run.cancel-requested", self.t, reason="enough")
        self.wait(0.05)
        self.world.take("orchestrator", fact)
        self.state = "TERMINATING"
        return self.get()

    # What services do

    def build(self) -> "Story":
        self.wait(0.3).other("builder", "image.built", image={"digest": "sha256:1"})
        self.state = "PROVISIONING"
        return self.wait(0.05).get()

    def machine(self, epoch: int) -> "Story":
        """A machine for an attempt, fresh from the provider."""
        name = self.machines[epoch] = f"cyn-{self.run[-6:]}-{epoch}"
        asked = self.own("machine.requested", epoch=epoch, owner=OWNER)
        self.world.take("provisioner", asked)
        for what, seconds in (("create_asked", 0.1), ("created", 0.1), ("running", 0.2)):
            self.wait(seconds).provider(what, epoch)
        self.wait(0.2).other("provisioner", "vm.ready", asked, epoch=epoch, machine=name)
        self.state = "STARTING"
        return self.wait(0.05).get()

    def provider(self, what: str, epoch: int) -> None:
        self.world.add("provider", t=EPOCH_S + self.t, what=what, machine=self.machines[epoch], zone="here")

    def release(self, epoch: int) -> "Story":
        """The machine is given back, and deleted."""
        machine = self.machines[epoch]
        released = self.own("machine.released", epoch=epoch, machine=machine)
        self.world.take("provisioner", released)
        self.wait(0.5).provider("delete_asked", epoch)
        self.wait(0.5).provider("deleted", epoch)
        self.other("provisioner", "vm.deleted", machine=machine)
        return self

    # What workers and programs do

    def worker(self, call: str, epoch: int, status: int | None = 200) -> Row:
        t = EPOCH_S + self.t
        machine = self.machines[epoch]
        row = {"t0": t - 0.01, "t": t, "call": call, "run": self.run, "epoch": epoch, "machine": machine}
        return self.world.add("worker", **row, status=status)

    def side(self, epoch: int, what: str, **more: Any) -> Row:
        written = self.logs.setdefault(epoch, b"")
        told = {"stdout_bytes": len(written), "stdout_sha256": sha256(written)}
        t, pid = EPOCH_S + self.t, self.pid + epoch
        row = {"t": t, "run": self.run, "epoch": epoch, "pid": pid, "what": what}
        return self.world.add("side", **row, **told, **more)

    def start(self, epoch: int) -> "Story":
        self.side(epoch, "start")
        self.wait(0.02).worker("started", epoch)
        self.own("attempt.started", epoch=epoch, machine=self.machines[epoch], pid=self.pid + epoch)
        self.state = "RUNNING"
        return self.wait(0.05).get()

    def work(self, epoch: int, seconds: int, *, heard: bool = True) -> "Story":
        """A second at a time: a line of log, a word on the side channel, a heartbeat."""
        for second in range(seconds):
            self.wait(1.0)
            self.logs[epoch] += f"attempt {epoch} second {second}\n".encode()
            self.side(epoch, "alive")
            if heard:
                self.worker("heartbeat", epoch)
                self.chunk(epoch)
        return self.get()

    def chunk(self, epoch: int) -> None:
        """What was written since the last chunk is stored."""
        stored = sum(
            row["size"]
            for row in self.world.rows("sql/orchestrator.log_chunks", run_id=self.run, epoch=epoch)
        )
        data = self.logs[epoch][stored:]
        if not data:
            return
        seq = self.chunks.get(epoch, 0)
        self.chunks[epoch] = seq + 1
        self.worker("logs", epoch)
        self.world.store(f"owners/{OWNER}/runs/{self.run}/{epoch}/logs/{seq:010d}", data)
        row = {"run_id": self.run, "epoch": epoch, "seq": seq, "source": "stdout", "start_offset": stored}
        self.world.add("sql/orchestrator.log_chunks", **row, size=len(data), at=EPOCH_S + self.t)

    def checkpoint(self, epoch: int) -> "Story":
        self.worker("checkpoint", epoch)
        self.own("checkpoint.saved", epoch=epoch, manifest="sha256:2", files=1, bytes=1)
        return self.wait(0.05)

    def exit(self, epoch: int, code: int = 0, signal: int | None = None) -> "Story":
        """The program ends; its last line has no newline."""
        self.logs[epoch] += b"the end"
        content = f"result of {self.run} by {epoch}".encode()
        files = {"result.txt": sha256(content)}
        self.side(epoch, "end", files=files)
        self.wait(0.1).chunk(epoch)
        exited: Row = {"exit_code": None if signal else code, "signal": signal, "cause": None}
        self.worker("exited", epoch)
        self.own("attempt.exited", epoch=epoch, **exited)
        self.state = "UPLOADING"
        self.wait(0.1).get()
        self.world.store(f"owners/{OWNER}/blobs/{sha256(content)[:2]}/{sha256(content)}", content)
        self._commit(epoch, {"result.txt": (sha256(content), len(content))})
        return self

    def _commit(self, epoch: int, files: dict[str, tuple[str, int]]) -> None:
        digest = self.manifest = digest_of(files)
        lines = [
            json.dumps({"chunks": [name], "path": path, "size": size}, separators=(",", ":"))
            for path, (name, size) in files.items()
        ]
        hexadecimal = digest.removeprefix("sha256:")
        self.world.store(
            f"owners/{OWNER}/manifests/{hexadecimal}",
            (HEADER + "".join(f"{line}\n" for line in lines)).encode(),
        )
        self.wait(0.1).worker("finished", epoch)
        sealed = {"stdout": len(self.logs[epoch])}
        self.own("logs.sealed", epoch=epoch, bytes_by_source=sealed, chunks=self.chunks[epoch])
        self.own("outputs.committed", epoch=epoch, manifest=digest, files=1, bytes=10)

    def lose(self, epoch: int, code: str = "lost_machine") -> "Story":
        """The attempt is fenced and its machine given back."""
        self.own("attempt.lost", epoch=epoch, cause={"code": code, "message": "gone"})
        return self

    def retry(self, epoch: int, code: str, budget: str) -> "Story":
        cause = {"code": code, "message": "again"}
        used: Row = {"budget": budget, "used": epoch, "allowed": 5}
        self.own("run.retry-scheduled", epoch=epoch, delay_s=0.5, cause=cause, **used)
        self.state = "RETRYING"
        return self

    def over(self, state: str, epoch: int | None = None, **data: Any) -> "Story":
        """The end, and a last look at everything."""
        self.own(f"run.{state.lower()}", epoch=epoch, **data)
        self.state = state
        if state == "SUCCEEDED":
            self.outputs = {"manifest": self.manifest, "files": 1, "bytes": 10}
        self.wait(0.1).get()
        if epoch in self.machines and not self.world.rows(
            "provider", what="deleted", machine=self.machines[epoch]
        ):
            self.release(epoch)
        return self.leave()

    def leave(self) -> "Story":
        """The client reads what there is, and the tables are as they will stay."""
        world, stream = self.world, f"run-{self.run}"
        facts = world.rows("sql/orchestrator.events", stream=stream)
        events = [{"version": fact["version"], "id": fact["id"]} for fact in facts]
        half = len(events) // 2
        self.wait(0.1).ask("events", 200, {"events": events[:half], "over": False}, sent={"after": 0})
        self.wait(0.1).ask("events", 200, {"events": events[half:], "over": True}, sent={"after": half})
        world.add("sql/orchestrator.runs", id=self.run, state=self.state, version=len(facts))
        for epoch in self.machines:
            world.add("sql/orchestrator.attempts", run_id=self.run, epoch=epoch, machine=self.machines[epoch])
        return self.wait(0.1)
