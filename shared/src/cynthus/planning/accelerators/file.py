"""The compatibility table as it is delivered."""

from functools import lru_cache
from importlib import resources

from cynthus.planning.accelerators.table import CudaTable


@lru_cache(maxsize=1)
def cuda_table() -> CudaTable:
    """Read once."""
    file = resources.files("cynthus.planning").joinpath("data/cuda.toml")
    return CudaTable.parse(file.read_text(encoding="utf-8"))
