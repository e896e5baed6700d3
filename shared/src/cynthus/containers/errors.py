"""What a container engine answers when it does not do what it was asked."""


class EngineUnavailable(Exception):
    """The engine did not answer, or not usefully; later it may."""


class EngineRefused(Exception):
    """The engine will not do this; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ImageUnknown(Exception):
    """The engine has no such image."""


class PullRefused(Exception):
    """The image cannot be had; the message says why, as the engine told it."""


class NoSuchContainer(Exception):
    """The engine has no such container."""


class ContainerConflict(Exception):
    """The name is taken, or the container is not in a state in which this can be done."""
