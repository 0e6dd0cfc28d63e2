"""One section of the benchmarks, by name: what a process of its own runs."""

from __future__ import annotations

import importlib

from bench.report import Row


def run_section(section: str) -> list[Row]:
    """The rows of `bench.SECTION`."""
    rows: list[Row] = importlib.import_module(f"bench.{section}").bench()
    return rows
