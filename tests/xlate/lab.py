"""Bridges without a datapath: just what translation reads, so that it can be tested alone."""

from __future__ import annotations

from vswitch.dpif.odp_text import format_actions
from vswitch.dpif.probe import Support
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.text import format_megaflow
from vswitch.l2.mac_learning import MacLearning
from vswitch.ofproto.group_refs import ActionRefs
from vswitch.ofproto.groups import Groups
from vswitch.ofproto.meters import Meters
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import Tables
from vswitch.ofproto.tlv import TlvTable
from vswitch.ofproto_dpif.commands.trace import TraceRequest, run, shown_mask
from vswitch.ofproto_dpif.ports import mirror as mirror_ops
from vswitch.ofproto_dpif.ports.bundle import Bundle, OfportDpif
from vswitch.ofproto_dpif.ports.mirror import MAX_MIRRORS, Mirror
from vswitch.ofproto_dpif.xlate.recirc import RecircIds
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import XlateIn, XlateOut
from vswitch.openflow.flow_text import parse_flow

ALL = Support(
    masked_set=True, ufid=True, trunc=True, clone=True, sample_nesting=10, ct_clear=True, max_hash_alg=1,
    check_pkt_len=True, explicit_drop_action=True, max_vlan_headers=2, max_mpls_depth=3, recirc=True,
)  # fmt: skip
"""A datapath that can do everything."""


class FakeDpif:
    """The one question that translation asks of a dpif."""

    def queue_to_priority(self, queue: int) -> int:
        return queue


class FakeBacker:
    """The datapath that the bridges share."""

    def __init__(self, support: Support = ALL) -> None:
        self.support = support
        self.recirc_ids = RecircIds()
        self.dpif = FakeDpif()
        self.ofprotos: dict[str, Bridge] = {}

    def port_pid(self, odp_port: int) -> int:
        return 0


class Bridge:
    """A bridge with tables, ports and bundles. Port n is named pn; its datapath number is n too,
    the local port's is 100."""

    def __init__(self, name: str = "br0", ports: tuple[int, ...] = (1, 2, 3, 4),
                 backer: FakeBacker | None = None) -> None:
        self.name = name
        self.backer = backer or FakeBacker()
        self.backer.ofprotos[name] = self
        self.ports: dict[int, OfportDpif] = {}
        self.bundles: dict[object, Bundle] = {}
        self.tables = Tables()
        refs = ActionRefs()
        self.tables.listeners.append(refs)
        self.groups = Groups(self.tables, refs, self)
        self.meters = Meters(self.tables, refs, self)  # type: ignore[arg-type]
        self.mirrors: list[Mirror | None] = [None] * MAX_MIRRORS
        self.has_mirrors = False
        self.mac_learning = MacLearning()
        self.tlv = TlvTable()
        self.frag_handling = "normal"
        self.forward_bpdu = False
        self.wants_packet_in_on_miss = False
        self.miss_tag = 0
        self.has_in_band = False
        self.ipfix = None
        self.vlandev_map: dict[int, tuple[int, int]] = {}
        self.realdev_vid_map: dict[tuple[int, int], int] = {}
        self.no_packet_in_rule = Rule(Match(), 0)
        self.miss_rule = Rule(Match(), 0)
        self.drop_frags_rule = Rule(Match(), 0)
        for rule in (self.no_packet_in_rule, self.miss_rule, self.drop_frags_rule):
            rule.hidden = True
        self.add_port(0xFFFE, name, 100)
        for n in ports:
            self.add_port(n, f"p{n}", n)

    def add_port(self, ofp_port: int, name: str, odp_port: int) -> OfportDpif:
        """A port with a bundle of its own, a trunk."""
        port = OfportDpif(None, self, name, ofp_port, odp_port)  # type: ignore[arg-type]
        bundle = Bundle(self, name)  # type: ignore[arg-type]
        bundle.ports.append(port)
        port.bundle = bundle
        self.ports[ofp_port] = port
        self.bundles[name] = bundle
        return port

    def add_flows(self, *flows: str) -> Bridge:
        """Flows in the syntax of ovs-ofctl."""
        for text in flows:
            fm = parse_flow(text)
            table_id = 0 if fm.table_id == 255 else fm.table_id
            self.tables[table_id].cls.insert(Rule(fm.match, fm.priority, table_id, fm.actions, fm.new_cookie))
        return self

    def learn(self, mac: int, vlan: int, port: str) -> None:
        """`mac` was seen on the port's bundle."""
        self.mac_learning.learn(mac, vlan, self.bundles[port], 0)

    def xlate(self, flow: str, packet: bytes | None = None) -> XlateOut:
        """Translate a packet that looks like `flow`, or that comes back with its recirc_id."""
        key = parse_exact_flow(flow)
        frozen = self.backer.recirc_ids.lookup(key.recirc_id) if key.recirc_id else None
        return xlate(XlateIn(self, key, packet, frozen=frozen))  # type: ignore[arg-type]

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
        return run(TraceRequest(self, parse_exact_flow(flow)), 0)  # type: ignore[arg-type]

    def add_mirror(self, mirror: Mirror) -> None:
        """Configure a mirror."""
        self.mirrors[mirror.idx] = mirror
        self.has_mirrors = True
        mirror_ops.refresh(self.mirrors, self.bundles.values())

    def group_tag(self, group_id: int) -> int:
        """No tags here."""
        return 0

    def meter_tag(self, meter_id: int) -> int:
        """No tags here."""
        return 0

    def group_changed(self, group_id: int) -> None:
        """Nothing is cached here."""

    def table_tag(self, table_id: int, flow: Flow, wc: Flow | None = None) -> int:
        return 0


def connect(a: Bridge, a_port: int, b: Bridge, b_port: int) -> None:
    """Patch ports between two bridges."""
    one = a.add_port(a_port, f"patch-{b.name}", 0xFFFFFFFF)
    other = b.add_port(b_port, f"patch-{a.name}", 0xFFFFFFFF)
    one.peer = other
    other.peer = one
