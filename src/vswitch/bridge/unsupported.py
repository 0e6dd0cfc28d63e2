"""Columns that ask for what the switch does not do: said once each, with column and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from vswitch.base.vlog import Vlog

log = Vlog("bridge")


@final
class Unsupported:
    """What was warned of already."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str, str]] = set()

    def warn(self, row: str, column: str, value: object, instead: str = "") -> None:
        """`column` of `row` ("port p1") has `value`, which is not acted on; `instead` says what is done."""
        key = (row, column, str(value))
        if key in self._said:
            return
        self._said.add(key)
        log.warn("%s: %s=%s is not supported%s", row, column, value, f"; {instead}" if instead else "")

    def warn_all(self, row: str, columns: Mapping[str, str]) -> None:
        """The same for several columns of a row."""
        for column, value in columns.items():
            self.warn(row, column, value)
