"""NORMAL with multicast snooping: IP multicast goes where it is wanted (RFC 4541).

Reports go to routers only; other packets to the ports at which their group is wanted and to routers, or,
where nobody wants it, to all ports or to routers, as the bridge is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.vlog import Level
from vswitch.flow.layout import S_NW_PROTO, S_TP_SRC, W_ETH_TYPE, W_IPV6_DST, W_NW_PROTO, W_NW_SRC, W_TP_SRC
from vswitch.flow.values import format_ipv4
from vswitch.l2 import igmp, mld
from vswitch.l2.mcast_snooping import McastSnooping
from vswitch.ofproto_dpif.xlate.bridge import XBridge, XBundle
from vswitch.ofproto_dpif.xlate.bundle_output import output_bundle
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.debug import debug, log
from vswitch.ofproto_dpif.xlate.effects import PacketEffect
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, TraceNode
from vswitch.ofproto_dpif.xlate.types import SLOW_ACTION
from vswitch.ofproto_dpif.xlate.vlan import Xvlan
from vswitch.packet.checksum import csum
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_ICMPV6, IPPROTO_IGMP
from vswitch.packet.parse import Parser

BROADCAST: Final = 0xFFFFFFFFFFFF
LINK_LOCAL: Final = 0xE0000000
"""224.0.0.0/24, which is flooded (RFC 4541, 2.1.2)."""
ALL_HOSTS_HIGH: Final = 0xFF02 << 48
"""The upper half of ff02::1; the lower is 1."""

REPORT: Final = "report"
malformed: Final = coverage.counter("mcast_snooping_malformed")
_parser: Final = Parser()

Flood = Callable[[Ctx, XBundle, Xvlan], None]


@final
class Snoop(PacketEffect):
    """A message of IGMP or MLD came in at `bundle` in `vlan`: learn from it. What was learned is logged, or
    told in `node`, if there is a trace, which has a place for it."""

    def __init__(self, bridge: XBridge, bundle: XBundle, vlan: int, node: TraceNode | None) -> None:
        self.bridge = bridge
        self.bundle = bundle
        self.vlan = vlan
        self.node = node

    def apply(self, packet: bytes, now: int) -> None:
        table = self.bridge.mcast_snooping
        if table is None or self.bridge.bundles.get(self.bundle.aux) is not self.bundle:
            return
        heard = self.node is not None or log.enabled(Level.DBG)
        news, told = _learn(table, self.bundle, self.vlan, packet, now, heard)
        # A group whose last port has left is one that nobody asked for, and floods.
        if table.expire(now) or news:
            self.bridge.revalidate_set.add(self.bridge.mcast_tag)
        if told:
            text = f"multicast snooping {told} on port {self.bundle.name} in VLAN {self.vlan}"
            if self.node is not None:
                self.node.text = text
            else:
                debug(now, self.bridge.name, text)

    def __repr__(self) -> str:
        return f"Snoop({self.bundle.name}, vlan={self.vlan})"


def _learn(table: McastSnooping, bundle: XBundle, vlan: int, packet: bytes, now: int,
           heard: bool) -> tuple[bool, str]:
    """Whether the table has changed, and, if it will be `heard`, what is to be said of the message."""
    p = _parser
    p.parse(packet)
    if p.l4_ofs < 0:
        malformed.inc()
        return False, ""
    data = packet[p.l4_ofs : p.l3_end]
    ipv6 = p.dl_type == ETH_TYPE_IPV6
    if ipv6:
        header = packet[p.l3_ofs + 8 : p.l3_ofs + 40]
        pseudo = header + len(data).to_bytes(4, "big") + b"\0\0\0\x3a"
        intact = csum(pseudo + data) == 0
        said = mld.decode(data) if intact else None
        asked = data[:1] == bytes((mld.QUERY,)) and (p.ipv6_src_hi or p.ipv6_src_lo)
    else:
        intact = len(data) >= igmp.HEADER and csum(data) == 0
        said = igmp.decode(data)
        asked = data[:1] == bytes((igmp.QUERY,)) and p.nw_src
    if said is None:
        malformed.inc()
        return False, "" if intact or not heard else f"received bad {'MLD' if ipv6 else 'IGMP'} checksum"
    # One that asks with no address is a proxy, not a router (RFC 4541, 2.1.1).
    if asked and table.add_router(vlan, bundle, now):
        return True, "" if not heard else "query" if ipv6 else f"query from {format_ipv4(p.nw_src)} is"
    news = False
    counted = 0
    told = ""
    for one in said:
        known = table.lookup(vlan, ipv6, one.group) is not None
        if one.wanted:
            news |= table.join(vlan, ipv6, one.group, bundle, one.protocol, now)
            found = not known and table.lookup(vlan, ipv6, one.group) is not None
            what = "learned that"
        else:
            found = table.leave(vlan, ipv6, one.group, bundle)
            news |= found
            what = "leaving"
        if found:
            counted += 1
            told = "" if ipv6 or not heard else f"{what} {format_ipv4(one.group)} is"
    if heard and counted and (ipv6 or data[0] == igmp.V3_REPORT):
        told = f"processed {counted} addresses"
    return news, told


def forward(ctx: Ctx, came_from: XBundle, xvlan: Xvlan, flood: Flood) -> bool:
    """Forward IP multicast; False: it is something else."""
    table = ctx.bridge.mcast_snooping
    dst = ctx.flow.dl_dst
    if table is None or dst & (1 << 40) == 0 or dst == BROADCAST:
        return False
    words = ctx.flow.words
    dl_type = words[W_ETH_TYPE] & 0xFFFF
    if dl_type not in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        return False
    wc = ctx.wc.words
    vlan: int = xvlan.vid
    ctx.out.tags |= ctx.bridge.mcast_tag
    wc[W_NW_PROTO] |= 0xFF << S_NW_PROTO
    proto = (words[W_NW_PROTO] >> S_NW_PROTO) & 0xFF
    kind: int = (words[W_TP_SRC] >> S_TP_SRC) & 0xFFFF
    if dl_type == ETH_TYPE_IP and proto == IPPROTO_IGMP:
        # The datapath doesn't see IGMP's type: all of it comes up.
        ctx.out.slow |= SLOW_ACTION
        if kind in igmp.REPORTS or kind == igmp.QUERY:
            ctx.out.packet_effects.append(Snoop(ctx.bridge, came_from, vlan, _place(ctx)))
        if kind in igmp.REPORTS:
            _to_routers(ctx, table, came_from, xvlan)
            _send(ctx, table.report_ports, REPORT, came_from, xvlan)
        else:
            _say(ctx, "multicast traffic, flooding")
            flood(ctx, came_from, xvlan)
        return True
    if dl_type == ETH_TYPE_IPV6 and proto == IPPROTO_ICMPV6:
        wc[W_TP_SRC] |= -1 << S_TP_SRC
        if kind in mld.MESSAGES:
            ctx.out.slow |= SLOW_ACTION
            ctx.out.packet_effects.append(Snoop(ctx.bridge, came_from, vlan, _place(ctx)))
            if kind in mld.REPORTS:
                _to_routers(ctx, table, came_from, xvlan)
                _send(ctx, table.report_ports, REPORT, came_from, xvlan)
            else:
                _say(ctx, "MLD query, flooding")
                flood(ctx, came_from, xvlan)
            return True
    ipv6 = dl_type == ETH_TYPE_IPV6
    if ipv6:
        wc[W_IPV6_DST] = -1
        wc[W_IPV6_DST + 1] = -1
        high = int(words[W_IPV6_DST]) & 0xFFFFFFFFFFFFFFFF
        low = int(words[W_IPV6_DST + 1]) & 0xFFFFFFFFFFFFFFFF
        address = high << 64 | low
        is_local = high == ALL_HOSTS_HIGH and low == 1
    else:
        wc[W_NW_SRC] |= 0xFFFFFFFF
        address = int(words[W_NW_SRC]) & 0xFFFFFFFF
        is_local = address & 0xFFFFFF00 == LINK_LOCAL
    if is_local:
        _say(ctx, "RFC4541: section 2.1.2, item 2, flooding")
        flood(ctx, came_from, xvlan)
        return True
    group = table.lookup(vlan, ipv6, address)
    if group is not None:
        _send(ctx, group.ports, "group", came_from, xvlan)
        _send(ctx, table.flood_ports, "flood", came_from, xvlan)
        _to_routers(ctx, table, came_from, xvlan)
    elif table.flood_unregistered:
        _say(ctx, "unregistered multicast, flooding")
        flood(ctx, came_from, xvlan)
    else:
        _to_routers(ctx, table, came_from, xvlan)
        _send(ctx, table.flood_ports, "flood", came_from, xvlan)
    return True


def _say(ctx: Ctx, text: str) -> None:
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, text)


def _place(ctx: Ctx) -> TraceNode | None:
    """A place in the trace for what will be learned."""
    trace = ctx.trace
    return None if trace is None else trace.add(OFT_DETAIL, "")


def _to_routers(ctx: Ctx, table: McastSnooping, came_from: XBundle, xvlan: Xvlan) -> None:
    vlan: int = xvlan.vid
    for its_vlan, bundle, _ in table.all_routers():
        if its_vlan == vlan:
            _send(ctx, (bundle,), "router", came_from, xvlan)
        else:
            _say(ctx, "mcast router is on another vlan, dropping")


def _send(ctx: Ctx, bundles: Iterable[XBundle], what: str, came_from: XBundle, xvlan: Xvlan) -> None:
    """To those of `bundles` that the packet did not come from."""
    for bundle in list(bundles):
        is_input = bundle is came_from
        if ctx.trace is not None:
            report(ctx, OFT_DETAIL, _where(what, is_input))
        if not is_input:
            output_bundle(ctx, bundle, xvlan)


def _where(what: str, is_input: bool) -> str:
    """What the trace says of a port that multicast goes to."""
    if is_input:
        return f"mcast {what} port is input port, dropping" if what != REPORT else (
            "mcast port is input port, dropping the Report")  # fmt: skip
    return f"forwarding to mcast {what} port" if what != REPORT else "forwarding report to mcast flagged port"
