"""Runs brought to where a test begins."""

from cynthus.events import (
    DataMount,
    Dataset,
    DatasetReady,
    Image,
    ImageBuilt,
    RunRequested,
    RunSpec,
    VMReady,
    new_id,
)
from tests.integration.orchestrator.stage import OWNER, Stage, Worker


def request(
    *,
    owner: str = OWNER,
    name: str = "digits-1",
    retries: int = 0,
    secrets: tuple[str, ...] = (),
    **more: object,
) -> RunRequested:
    data = (DataMount(source="./data", snapshot="sha256:d", mount="data"),)
    spec = RunSpec(snapshot="sha256:s", data=data, retries=retries, secrets=secrets, env={"A": "b"})
    facts = {"owner": owner, "project": "digits", "name": name, "spec": spec, **more}
    return RunRequested(**{"run_id": new_id("run"), **facts})


def built(run_id: str) -> ImageBuilt:
    image = Image(
        digest="sha256:i", source="sha256:s", lock="sha256:l", python="3.11", command=("python", "main.py")
    )
    return ImageBuilt(run_id=run_id, image=image, packages=3)


def pinned(run_id: str) -> DatasetReady:
    data = Dataset(source="./data", mount="data", manifest="sha256:d", files=1, bytes=2)
    return DatasetReady(run_id=run_id, datasets=(data,))


def ready(run_id: str, epoch: int = 1, machine: str = "m1") -> VMReady:
    return VMReady(run_id=run_id, epoch=epoch, machine=machine)


async def starting(stage: Stage, requested: RunRequested | None = None, machine: str = "m1") -> Worker:
    """A run whose order can be fetched."""
    requested = requested or request()
    run_id = requested.run_id
    await stage.hear(requested)
    await stage.hear(built(run_id), source="builder")
    await stage.hear(pinned(run_id), source="datasets")
    await stage.hear(ready(run_id, machine=machine), source="provisioner")
    return stage.worker(run_id, machine=machine)


async def running(stage: Stage, requested: RunRequested | None = None, machine: str = "m1") -> Worker:
    """A run whose process runs."""
    worker = await starting(stage, requested, machine)
    assert (await worker.start()).status_code == 200
    return worker
