"""The compatibility table as it is delivered with the builder."""

from functools import lru_cache
from importlib import resources

from cynthus.builder.domain.cuda_table import CudaTable


@lru_cache(maxsize=1)
def cuda_table() -> CudaTable:
    """Read once."""
    file = resources.files("cynthus.builder").joinpath("data/cuda.toml")
    return CudaTable.parse(file.read_text(encoding="utf-8"))
