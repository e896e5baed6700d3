"""Benchmarks: `python -m bench [name...]`; see docs/benchmarks.md.

A benchmark is a module here with `run() -> list[Table]`; tables come from `bench.measure`.
"""
