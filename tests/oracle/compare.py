"""Traces of the two switches side by side, after taking out what cannot but differ.

What differs: the datapath's port numbers (here port names take their place) and the ids of
recirculations and continuations, which count up over a process's life.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Protocol

from tests.oracle.real import OracleError
from tests.oracle.setup import Query

_ACTIONS = re.compile(r"^(Datapath actions: )(.*)$", re.MULTILINE)
_OUTPUT = re.compile(r"(^|,|\bclone\(|\bactions\(|\ble\(|\bgt\()(\d+)(?=,|\)|$)")
_RECIRC = re.compile(r"\brecirc(_id=|\()(0x)?[0-9a-f]+")


class Switch(Protocol):
    """What both switches can be asked."""

    def trace(self, query: Query) -> str: ...

    def port_names(self) -> dict[str, str]: ...


def normalized(text: str, ports: Mapping[str, str]) -> str:
    """`text` with datapath ports by name and recirculation ids without their numbers."""

    def output(match: re.Match[str]) -> str:
        return match[1] + ports.get(match[2], match[2])

    def actions(match: re.Match[str]) -> str:
        once = _OUTPUT.sub(output, match[2])
        return match[1] + _RECIRC.sub(r"recirc\1N", once)

    return _ACTIONS.sub(actions, text).rstrip("\n") + "\n"


def answer(switch: Switch, query: Query) -> str:
    """The trace of `query`, or the error that it gets, ready to be compared."""
    try:
        text = switch.trace(query)
    except OracleError as error:
        return f"error: {error}\n"
    return normalized(text, switch.port_names())


def difference(real: Switch, ours: Switch, query: Query) -> str:
    """What ours answers differently, as a unified diff; "" if nothing."""
    theirs, mine = answer(real, query), answer(ours, query)
    if theirs == mine:
        return ""
    lines = difflib.unified_diff(theirs.splitlines(), mine.splitlines(), "real", "ours", lineterm="", n=30)
    return f"{query.bridge}: {query}\n" + "\n".join(lines) + "\n"
