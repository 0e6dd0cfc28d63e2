"""Bridges without a datapath: just what translation sees, so that it can be tested alone."""

from __future__ import annotations

from vswitch.base.tags import TagSet
from vswitch.dpif.odp_text import format_actions
from vswitch.dpif.probe import Support
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.text import format_megaflow
from vswitch.ofproto.group_refs import ActionRefs
from vswitch.ofproto.groups import Groups
from vswitch.ofproto.meters import MeterCounts, MeterLimits, Meters
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import Tables
from vswitch.ofproto.tlv import TlvTable
from vswitch.ofproto_dpif.commands.trace import TraceRequest, run
from vswitch.ofproto_dpif.ports import mirror as mirror_ops
from vswitch.ofproto_dpif.xlate.bridge import XBridge, XBundle, XDatapath, XMirror, XPort
from vswitch.ofproto_dpif.xlate.said import shown_mask
from vswitch.ofproto_dpif.xlate.table_dpif import TableDpif
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import XlateIn, XlateOut
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.meter import MeterConfig

ALL = Support(
    masked_set=True, ufid=True, trunc=True, clone=True, sample_nesting=10, ct_clear=True, max_hash_alg=1,
    check_pkt_len=True, explicit_drop_action=True, max_vlan_headers=2, max_mpls_depth=3, recirc=True,
)  # fmt: skip
"""A datapath that can do everything."""


class Questions:
    """A datapath that answers: its upcalls all go to pid 0, a queue is its own priority."""

    def port_get_pid(self, port_no: int) -> int:
        return 0

    def queue_to_priority(self, queue_id: int) -> int:
        return queue_id


def datapath(support: Support) -> XDatapath:
    """A datapath that can do what `support` says."""
    dp = XDatapath(Questions())
    dp.support = support
    return dp


class Nothing:
    """What changes a bridge, and hears of its changes, where nothing changes."""

    def flow_mod(self, flow_mod: FlowMod) -> object:
        raise AssertionError("translation changed a flow table")

    def group_changed(self, group_id: int) -> None:
        raise AssertionError("translation changed a group")

    def meter_limits(self) -> MeterLimits:
        raise AssertionError("there are no meters")

    def meter_set(self, number: int | None, config: MeterConfig) -> int:
        raise AssertionError("there are no meters")

    def meter_get(self, number: int) -> MeterCounts:
        raise AssertionError("there are no meters")

    def meter_del(self, number: int) -> None:
        raise AssertionError("there are no meters")

    def meter_changed(self, meter_id: int) -> None:
        raise AssertionError("there are no meters")


class Bridge:
    """A bridge with tables, ports and bundles. Port n is named pn; its datapath number is n too,
    the local port's is 100."""

    def __init__(self, name: str = "br0", ports: tuple[int, ...] = (1, 2, 3, 4),
                 dp: XDatapath | None = None) -> None:
        if dp is None:
            dp = datapath(ALL)
        tables = Tables()
        refs = ActionRefs()
        tables.listeners.append(refs)
        nothing = Nothing()
        self.x = XBridge(
            name, dp, tables, Groups(tables, refs, nothing), Meters(tables, refs, nothing), TlvTable(),
            nothing, [TableDpif(i) for i in range(len(tables))], 1, TagSet(),
        )  # fmt: skip
        dp.bridges[name] = self.x
        self.add_port(0xFFFE, name, 100)
        for n in ports:
            self.add_port(n, f"p{n}", n)

    def add_port(self, ofp_port: int, name: str, odp_port: int) -> XPort:
        """A port with a bundle of its own, a trunk."""
        port = XPort(self.x, name, ofp_port, odp_port)
        bundle = XBundle(name)
        bundle.aux = name
        bundle.ports.append(port)
        port.bundle = bundle
        self.x.ports[ofp_port] = port
        self.x.bundles[name] = bundle
        return port

    def add_flows(self, *flows: str) -> Bridge:
        """Flows in the syntax of ovs-ofctl."""
        for text in flows:
            fm = parse_flow(text)
            table_id = 0 if fm.table_id == 255 else fm.table_id
            self.x.tables[table_id].cls.insert(
                Rule(fm.match, fm.priority, table_id, fm.actions, fm.new_cookie)
            )
        return self

    def learn(self, mac: int, vlan: int, port: str) -> None:
        """`mac` was seen on the port's bundle."""
        self.x.mac_learning.learn(mac, vlan, self.x.bundles[port], 0)

    def xlate(self, flow: str, packet: bytes | None = None) -> XlateOut:
        """Translate a packet that looks like `flow`, or that comes back with its recirc_id."""
        key = parse_exact_flow(flow)
        frozen = self.x.dp.recirc_ids.lookup(key.recirc_id) if key.recirc_id else None
        return xlate(XlateIn(self.x, key, packet, frozen=frozen))

    def actions(self, flow: str) -> str:
        """The datapath actions for a packet."""
        out = self.xlate(flow)
        return format_actions(out.actions) if out.actions else "drop"

    def megaflow(self, flow: str) -> str:
        """The megaflow for a packet."""
        key = parse_exact_flow(flow)
        return format_megaflow(key, shown_mask(key, self.xlate(flow).wc))

    def trace(self, flow: str) -> str:
        """As `ofproto/trace` prints it."""
        return run(TraceRequest(self.x, parse_exact_flow(flow)), 0)

    def add_mirror(self, mirror: XMirror) -> None:
        """Configure a mirror."""
        self.x.mirrors[mirror.idx] = mirror
        self.x.has_mirrors = True
        mirror_ops.refresh(self.x.mirrors, self.x.bundles.values())


def connect(a: Bridge, a_port: int, b: Bridge, b_port: int) -> None:
    """Patch ports between two bridges."""
    one = a.add_port(a_port, f"patch-{b.x.name}", ODPP_NONE)
    other = b.add_port(b_port, f"patch-{a.x.name}", ODPP_NONE)
    one.peer = other
    other.peer = one
