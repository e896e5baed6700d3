"""Where content lies in the object store: an owner's bytes are all under his own prefix."""


def blob(owner: str, digest: str) -> str:
    """The key of a blob; `digest` is 64 hex digits."""
    return f"owners/{owner}/blobs/{digest[:2]}/{digest}"


def manifest(owner: str, snapshot: str) -> str:
    """The key of a snapshot's manifest; `snapshot` is `sha256:<hex>` or the hex digits alone."""
    return f"owners/{owner}/manifests/{snapshot.removeprefix('sha256:')}"


def log_chunk(owner: str, run_id: str, epoch: int, seq: int) -> str:
    """The key of one chunk of an attempt's log; keys sort by sequence number."""
    return f"owners/{owner}/runs/{run_id}/{epoch}/logs/{seq:010d}"
