"""Finding the image of one platform behind a name."""

from cynthus.oci.descriptor import NotAnImage
from cynthus.oci.index import INDEXES, Entry, decode_index
from cynthus.oci.manifest import Manifest
from cynthus.oci.ports import ContentUnknown, Document, Registry

_DEEPEST = 3
_DEFAULT_VARIANTS = {"linux/arm64": "linux/arm64/v8", "linux/arm": "linux/arm/v7"}


def find_image(
    registry: Registry, repository: str, reference: str, platform: str = "linux/amd64"
) -> tuple[Manifest, Document]:
    """The platform's image, through indexes. Raises ContentUnknown, ContentDamaged, NotAnImage.

    A reference that names an image itself is taken as it is: only its configuration says its platform.
    """
    document = registry.manifest(repository, reference)
    for _ in range(_DEEPEST):
        if document.media_type not in INDEXES:
            return Manifest.decode(document.body), document
        chosen = choose(decode_index(document.body), platform)
        document = registry.manifest(repository, chosen.descriptor.digest)
    raise NotAnImage(f"{repository} {reference} is an index of indexes without end")


def choose(entries: tuple[Entry, ...], platform: str) -> Entry:
    """The entry for a platform; the only one when none says its platform. Raises ContentUnknown."""
    wanted = (platform, _DEFAULT_VARIANTS.get(platform, platform))
    for name in wanted:
        for entry in entries:
            if entry.platform == name:
                return entry
    variants = [one for one in entries if one.platform and one.platform.startswith(f"{platform}/")]
    if variants:
        return variants[0]
    if len(entries) == 1 and entries[0].platform is None:
        return entries[0]
    there = sorted({one.platform for one in entries if one.platform and "unknown" not in one.platform})
    raise ContentUnknown(
        f"there is no image for {platform}: it has {', '.join(there) or 'none with a platform'}"
    )
