"""Traces of the two switches side by side, after taking out what cannot but differ.

What differs:
- the datapath's port numbers: here port names take their place;
- the ids of recirculations and continuations, which count up over a process's life;
- the order of flooding: the real switch goes by the addresses and hashes of its records. Outputs
  of a trace that floods are compared sorted, each with the VLAN tags that it is sent with;
- the mask of an exact ipv6_label, which the real switch keeps in 32 bits or in 20 depending on
  who asked for it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from tests.oracle.ours import OurSwitch
from tests.oracle.real import OracleError, RealSwitch
from tests.oracle.setup import Query, Setup

_ACTIONS = re.compile(r"^(Datapath actions: )(.*)$", re.MULTILINE)
_OUTPUT = re.compile(r"(^|,|\bclone\(|\bactions\(|\ble\(|\bgt\()(\d+)(?=,|\)|$)")
_LABEL = re.compile(r"\b(ipv6_label=0x[0-9a-f]+)/0xfffff\b")
_FLOODS = re.compile(r"flooding|^ *(FLOOD|ALL)$", re.MULTILINE)
_TAG = re.compile(r"dl_vlan=(\d+),dl_vlan_pcp=(\d+)")
_RECIRC = re.compile(r"\brecirc(_id=|\()(0x[0-9a-f]+|[1-9][0-9]*)")


class Switch(Protocol):
    """What both switches can be asked."""

    def trace(self, query: Query) -> str: ...

    def port_names(self) -> dict[str, str]: ...


def normalized(text: str, ports: Mapping[str, str]) -> str:
    """`text` with datapath ports by name and recirculation ids without their numbers."""

    def output(match: re.Match[str]) -> str:
        return match[1] + ports.get(match[2], match[2])

    def actions(match: re.Match[str]) -> str:
        named = _OUTPUT.sub(output, match[2])
        return match[1] + (sorted_outputs(named, tags) if _FLOODS.search(text) else named)

    tag = _TAG.search(text.split("\n", 1)[0])
    tags = [f"vid={tag[1]},pcp={tag[2]}"] if tag else []
    text = _RECIRC.sub(r"recirc\1N", _LABEL.sub(r"\1", text))
    return _ACTIONS.sub(actions, text).rstrip("\n") + "\n"


def split_actions(text: str) -> list[str]:
    """Datapath actions one by one."""
    parts: list[str] = []
    depth = 0
    for piece in text.split(","):
        if depth:
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
        depth += piece.count("(") - piece.count(")")
    return parts


def sorted_outputs(text: str, tags: list[str]) -> str:
    """`text` with each run of outputs and tag changes as a sorted list of port[tags].

    `tags` is what the packet has at first.
    """
    tags = list(tags)
    done: list[str] = []
    run: list[str] = []
    for action in [*split_actions(text), ""]:
        if action.startswith("push_vlan("):
            tags.append(action[10:-1])
        elif action == "pop_vlan" and tags:
            tags.pop()
        elif re.fullmatch(r"[a-z]+\d+", action):
            run.append(f"{action}[{'/'.join(tags)}]")
        else:
            done += sorted(run)
            run = []
            done += [action] if action else []
    return ",".join(done)


def answer(switch: Switch, query: Query) -> str:
    """The trace of `query`, or the error that it gets, ready to be compared."""
    try:
        text = switch.trace(query)
    except OracleError as error:
        return f"error: {error}\n"
    return normalized(text, switch.port_names())


def differences(real: RealSwitch, seeds: Iterable[int], made: Callable[[int], Setup],
                compare: Callable[[Switch, Switch, Query], str]) -> list[str]:
    """What `compare` finds of each query of the set-ups that are `made` of `seeds`, on both switches."""
    ours = OurSwitch()
    found = []
    try:
        for seed in seeds:
            setup = made(seed)
            real.configure(setup)
            ours.configure(setup)
            for query in setup.queries:
                text = compare(real, ours, query)
                if text:
                    found.append(f"seed {seed}: {text}")
    finally:
        ours.close()
    return found


def difference(real: Switch, ours: Switch, query: Query) -> str:
    """What ours answers differently, as a unified diff; "" if nothing."""
    theirs, mine = answer(real, query), answer(ours, query)
    if theirs == mine:
        return ""
    lines = difflib.unified_diff(theirs.splitlines(), mine.splitlines(), "real", "ours", lineterm="", n=30)
    return f"{query.bridge}: {query}\n" + "\n".join(lines) + "\n"
