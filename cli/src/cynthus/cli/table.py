"""Aligned columns."""

from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A header line and a line per row, each column as wide as its widest cell."""
    every = [head, *rows]
    widths = [max(len(row[number]) for row in every) for number in range(len(head))]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]
