"""`ofproto/trace`: what would happen to a packet, step by step, in Open vSwitch's layout.

`Trace` is the tree of lines that a translation leaves: bridges hold tables, tables hold actions
with their remarks, in one flat list a table; what a resubmit finds is a sibling that follows it.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.flow.flow import Flow
from vswitch.ofproto_dpif.xlate_ctx import (
    OFT_ACTION,
    OFT_BRIDGE,
    OFT_DETAIL,
    OFT_ERROR,
    OFT_WARN,
)

_TERMINAL: Final = (OFT_DETAIL, OFT_WARN, OFT_ERROR, OFT_ACTION)


@final
class TraceNode:
    """One line, and those that belong below it."""

    __slots__ = ("kind", "subs", "text")

    def __init__(self, kind: int, text: str) -> None:
        self.kind = kind
        self.text = text
        self.subs: list[TraceNode] = []


@final
class Trace:
    """The lines of one translation. `add` appends to the list that `enter` opened last."""

    def __init__(self) -> None:
        self.nodes: list[TraceNode] = []
        self.here: list[TraceNode] = self.nodes
        self.recircs: list[tuple[int, Flow]] = []
        """Recirculations to go on with: id, and the packet as it comes back."""

    def add(self, kind: int, text: str) -> None:
        """A line here."""
        self.here.append(TraceNode(kind, text))

    def add_recirc(self, recirc_id: int, flow: Flow) -> None:
        """The packet will come back as `flow` with `recirc_id`."""
        self.recircs.append((recirc_id, flow))

    def enter(self, kind: int, text: str) -> list[TraceNode]:
        """A line here, below which the following ones go, until `leave` gets what this returns."""
        outer = self.here
        node = TraceNode(kind, text)
        outer.append(node)
        self.here = node.subs
        return outer

    def leave(self, outer: list[TraceNode]) -> None:
        """Back to where `enter` was called."""
        self.here = outer

    def __str__(self) -> str:
        lines: list[str] = []
        _layout(self.nodes, 0, lines)
        return "".join(f"{line}\n" for line in lines)


def _layout(nodes: list[TraceNode], level: int, lines: list[str]) -> None:
    last = len(nodes) - 1
    for i, node in enumerate(nodes):
        more = 1 if i != last or node.kind in _TERMINAL else 0
        indent = " " * ((level + more) * 4)
        if node.kind == OFT_BRIDGE:
            lines += ["", indent + node.text, indent + "-" * len(node.text)]
        elif node.kind == OFT_DETAIL:
            lines.append(f"{indent} -> {node.text}")
        elif node.kind == OFT_WARN:
            lines.append(f"{indent} >> {node.text}")
        elif node.kind == OFT_ERROR:
            lines.append(f"{indent} >>>> {node.text} <<<<")
        else:
            lines.append(indent + node.text)
        _layout(node.subs, level + more + more, lines)
