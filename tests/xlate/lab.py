"""Bridges without a datapath: just what translation reads, so that it can be tested alone."""

from __future__ import annotations

from typing import Any

from vswitch.base.tags import tag_deterministic
from vswitch.classifier.classifier import Classifier
from vswitch.classifier.rule import ClsRule
from vswitch.dpif.probe import Support
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.ofproto_dpif import mirror as mirror_ops
from vswitch.ofproto_dpif.bundle import Bundle, OfportDpif
from vswitch.ofproto_dpif.mirror import MAX_MIRRORS, Mirror
from vswitch.ofproto_dpif.recirc import RecircIds

ALL = Support(
    masked_set=True, ufid=True, trunc=True, clone=True, sample_nesting=10, ct_clear=True, max_hash_alg=1,
    check_pkt_len=True, explicit_drop_action=True, max_vlan_headers=2, max_mpls_depth=3, recirc=True,
)  # fmt: skip
"""A datapath that can do everything."""


class Rule(ClsRule):
    """A rule with what translation asks of it."""

    def __init__(self, match: Match, priority: int, actions: tuple[Any, ...], cookie: int = 0) -> None:
        super().__init__(match, priority)
        self.actions = actions
        self.cookie = cookie
        self.hidden = False
        self.n_packets = 0

    def is_table_miss(self) -> bool:
        return self.priority == 0 and self.match.is_catchall()


class MacEntry:
    """One learned address."""

    def __init__(self, port: object, tag: int) -> None:
        self.port = port
        self.tag = tag


class MacTable:
    """Learned addresses, as translation asks for them."""

    def __init__(self) -> None:
        self.entries: dict[tuple[int, int], MacEntry] = {}

    def learn(self, mac: int, vlan: int, port: object) -> None:
        self.entries[mac, vlan] = MacEntry(port, 1)

    def lookup(self, mac: int, vlan: int) -> MacEntry | None:
        return self.entries.get((mac, vlan))

    def lookup_tag(self, mac: int, vlan: int) -> int:
        return tag_deterministic(hash((mac, vlan)) & 0x7FFFFFFF)


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
        self.tables = [Classifier(()) for _ in range(255)]
        self.mirrors: list[Mirror | None] = [None] * MAX_MIRRORS
        self.has_mirrors = False
        self.mac_learning = MacTable()
        self.frag_handling = "normal"
        self.forward_bpdu = False
        self.wants_packet_in_on_miss = False
        self.vlandev_map: dict[int, tuple[int, int]] = {}
        self.realdev_vid_map: dict[tuple[int, int], int] = {}
        self.no_packet_in_rule = Rule(Match(), 0, ())
        self.miss_rule = Rule(Match(), 0, ())
        self.drop_frags_rule = Rule(Match(), 0, ())
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

    def add_mirror(self, mirror: Mirror) -> None:
        """Configure a mirror."""
        self.mirrors[mirror.idx] = mirror
        self.has_mirrors = True
        mirror_ops.refresh(self.mirrors, self.bundles.values())

    def table_tag(self, table_id: int, flow: Flow) -> int:
        return 0


def connect(a: Bridge, a_port: int, b: Bridge, b_port: int) -> None:
    """Patch ports between two bridges."""
    one = a.add_port(a_port, f"patch-{b.name}", 0xFFFFFFFF)
    other = b.add_port(b_port, f"patch-{a.name}", 0xFFFFFFFF)
    one.peer = other
    other.peer = one
