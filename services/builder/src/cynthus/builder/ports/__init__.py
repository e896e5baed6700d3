"""What the builder needs from outside."""

from cynthus.builder.ports.builds import Builds, Job
from cynthus.builder.ports.dockerfiles import DockerfileBuilder
from cynthus.builder.ports.images import (
    Collectable,
    DocumentMissing,
    ImageAmbiguous,
    ImageCatalogue,
    ImageEntry,
    ImageMissing,
    ImageRecord,
    Records,
)
from cynthus.builder.ports.layers import Bases, BaseUnavailable, Index
from cynthus.builder.ports.packages import Resolver, ResolverUnavailable, SystemLayer, SystemPackages, Wheels
from cynthus.builder.ports.sources import Project, SourceMissing, Sources
from cynthus.builder.ports.trials import ImportProblem, ImportsFailed, ImportTrial, NoContainerEngine

__all__ = [
    "BaseUnavailable",
    "Bases",
    "Builds",
    "Collectable",
    "DockerfileBuilder",
    "DocumentMissing",
    "ImageAmbiguous",
    "ImageCatalogue",
    "ImageEntry",
    "ImageMissing",
    "ImageRecord",
    "ImportProblem",
    "ImportTrial",
    "ImportsFailed",
    "Index",
    "Job",
    "NoContainerEngine",
    "Project",
    "Records",
    "Resolver",
    "ResolverUnavailable",
    "SourceMissing",
    "Sources",
    "SystemLayer",
    "SystemPackages",
    "Wheels",
]
