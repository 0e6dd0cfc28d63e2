"""What a translation says of itself as it goes, for `ofproto/trace`: lines, in Open vSwitch's layout.

`Trace` is the tree of lines that a translation leaves: bridges hold tables, tables hold actions
with their remarks, in one flat list a table; what a resubmit finds is a sibling that follows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.base.records import dataclass
from vswitch.flow.flow import Flow

if TYPE_CHECKING:
    from vswitch.openflow.actions import Nat

# Kinds of lines.
OFT_DETAIL: Final = 0
OFT_WARN: Final = 1
OFT_ERROR: Final = 2
OFT_BRIDGE: Final = 3
OFT_TABLE: Final = 4
OFT_THAW: Final = 5
OFT_ACTION: Final = 6
OFT_BUCKET: Final = 7
_TERMINAL: Final = (OFT_DETAIL, OFT_WARN, OFT_ERROR, OFT_ACTION, OFT_BUCKET)


@dataclass
class Recirculation:
    """A packet that comes back: the recirculation's id, the packet as it was, its connection's zone, and
    the NAT that it went through."""

    recirc_id: int
    flow: Flow
    zone: int
    nat: Nat | None


@final
class TraceNode:
    """One line, and those that belong below it."""

    def __init__(self, kind: int, text: str) -> None:
        self.kind: int = kind
        self.text: str = text
        self.subs: list[TraceNode] = []


@final
class Trace:
    """The lines of one translation. `add` appends to the list that `enter` opened last."""

    def __init__(self, ports: dict[int, str] | None = None) -> None:
        self.ports: dict[int, str] | None = ports
        """Names of OpenFlow ports to print in the place of their numbers."""
        self.nodes: list[TraceNode] = []
        self.here: list[TraceNode] = self.nodes
        self.bridge: str = ""
        """The bridge where the packet came in, if it is another than where a recirculation resumes."""
        self.recircs: list[Recirculation] = []
        """Recirculations to go on with."""

    def add(self, kind: int, text: str) -> TraceNode:
        """A line here; one without a text isn't shown."""
        node = TraceNode(kind, text)
        self.here.append(node)
        return node

    def add_conntrack(self, recirc_id: int, flow: Flow, zone: int, nat: Nat | None) -> None:
        """The packet, which was `flow`, will come back from connection tracking with `recirc_id`."""
        self.recircs.append(Recirculation(recirc_id, flow, zone, nat))

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
    nodes = [node for node in nodes if node.text]
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
