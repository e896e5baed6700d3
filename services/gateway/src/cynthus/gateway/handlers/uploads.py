"""Telling that a project has a new source."""

from cynthus.events import ProjectUploaded
from cynthus.gateway.ports import Project, SnapshotSize
from cynthus.store.ports import ConcurrentAppend, EventStore, Why


class UploadHandler:
    """Tells that a project has a new source."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def __call__(self, project: Project, snapshot: str, size: SnapshotSize, *, actor: str) -> bool:
        """Whether the source is new to the project: it is told once per digest."""
        uploaded = ProjectUploaded(
            owner=project.owner,
            project=project.name,
            snapshot=snapshot,
            files=size.files,
            bytes=size.bytes,
        )
        stream = f"project-{project.id}-{snapshot.removeprefix('sha256:')}"
        try:
            await self._store.append(stream, [uploaded], expected=0, why=Why(actor))
        except ConcurrentAppend:
            return False
        return True
