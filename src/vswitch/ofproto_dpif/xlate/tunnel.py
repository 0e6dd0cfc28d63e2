"""Packets into tunnels and out of them, as far as translation goes.

On a datapath that puts outer headers on itself (`tnl_push`), the outer packet goes on within the same
translation: through the bridge whose local port the route leads to. Its megaflow bits are not the inner
packet's, and are dropped. Elsewhere, and where no bridge of ours leads to the remote, the packet is handed
to the tunnel's datapath port with its tunnel fields set, and what is behind that port sends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from vswitch.base.signed import high32
from vswitch.dpif.actions import Action as OdpAction
from vswitch.dpif.actions import Clone, Set, TnlPush, output_to
from vswitch.dpif.odp_nested import option_bytes, tunnel_bytes
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow import key_attr
from vswitch.flow.extract import high48
from vswitch.flow.flow import Flow, signed64
from vswitch.flow.layout import (
    S_NW_TOS,
    S_TUN_TOS,
    S_TUN_TP_DST,
    S_TUN_TTL,
    W_ARP_SHA,
    W_ARP_THA,
    W_ETH_DST,
    W_ETH_SRC,
    W_ETH_TYPE,
    W_IPV6_DST,
    W_IPV6_SRC,
    W_METADATA,
    W_ND_TARGET,
    W_NW_DST,
    W_NW_PROTO,
    W_NW_SRC,
    W_NW_TOS,
    W_PACKET_TYPE,
    W_PKT_MARK,
    W_TP_SRC,
    W_TUN_FLAGS,
    W_TUN_METADATA_PRESENT,
)
from vswitch.flow.prereq import is_ip_any
from vswitch.netdev.tunnel_options import LEGACY_L3, V4_MAPPED, TunnelConfig, format_address, is_v4
from vswitch.ofproto.geneve import options_to_datapath
from vswitch.ofproto_dpif.tunnel.send import outer_header, tunnel_fields
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate import sampling as xlate_sampling
from vswitch.ofproto_dpif.xlate.bridge import XPort
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.effects import CreditPort
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, OFT_WARN
from vswitch.ofproto_dpif.xlate.tunnel_effects import AskForNeighbour, LearnNeighbour, RefreshNeighbour
from vswitch.ofproto_dpif.xlate.tunnel_match import outer_destination, outer_source
from vswitch.openflow.constants import OFPP_LOCAL
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_GRE,
    IPPROTO_ICMPV6,
    IPPROTO_ROUTING,
    IPPROTO_UDP,
)
from vswitch.packet.tunnel import kinds
from vswitch.packet.tunnel.headers import HeaderError

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.tunnel.underlay import Underlay

ECN_CE: Final = 3
ARP_REPLY: Final = 2
ND_NEIGHBOR_ADVERT: Final = 136
MASK64: Final = (1 << 64) - 1


def is_native(ctx: Ctx) -> bool:
    """Whether the datapath puts outer headers on itself, and there are tunnels at all."""
    return ctx.support.tnl_push_pop and bool(ctx.bridge.dp.tunnels.maps)


def received(ctx: Ctx) -> bool:
    """Take the outer packet's congestion mark over (RFC 6040 section 4.2). False: the packet is to be
    dropped, for its sender does not understand such a mark."""
    words = ctx.flow.words
    if not is_ip_any(words[W_ETH_TYPE] & 0xFFFF) or (words[W_TUN_FLAGS] >> S_TUN_TOS) & 3 != ECN_CE:
        return True
    ctx.wc.words[W_NW_TOS] |= 3 << S_NW_TOS
    if (words[W_NW_TOS] >> S_NW_TOS) & 3 == 0:
        return False
    words[W_NW_TOS] |= ECN_CE << S_NW_TOS
    return True


def output(ctx: Ctx, port: XPort, config: TunnelConfig, last: bool) -> bool:
    """Send the packet out of tunnel `port`. Whether it was sent."""
    flow = ctx.flow
    saved = flow.copy()
    tunnel_fields(config, flow, ctx.wc)
    sent = False
    destination = outer_destination(flow)
    if destination == outer_destination(ctx.xin.flow):
        # As in the real switch, the port's tunnel fields stay then.
        _say(ctx, OFT_WARN, "Not tunneling to our own address")
        return False
    else:
        ctx.effects.append(CreditPort(port, True))
        _note_options(ctx)
        if is_native(ctx):
            _say(ctx, OFT_DETAIL, "output to native tunnel")
            commit(ctx)
            sent = _native(ctx, port, config, destination, last)
        else:
            _say(ctx, OFT_DETAIL, "output to kernel tunnel")
            _set_and_output(ctx, port)
            sent = True
    _restore(flow, saved)
    return sent


def _say(ctx: Ctx, kind: int, text: str) -> None:
    if ctx.trace is not None:
        report(ctx, kind, text)


def _restore(flow: Flow, saved: Flow) -> None:
    """What the port did to the tunnel fields is not seen by what follows; its mark is, as in the real
    switch."""
    words = flow.words
    old = saved.words
    i: i64 = 0
    while i < W_METADATA:
        words[i] = old[i]
        i += 1


def _note_options(ctx: Ctx) -> None:
    """Options that came with the packet and leave with it have to be the same for the whole megaflow."""
    came = ctx.xin.flow.words
    if came[W_TUN_METADATA_PRESENT] != 0 and ctx.flow.words[W_TUN_METADATA_PRESENT] != 0:
        i: i64 = 0
        while i < W_TUN_METADATA_PRESENT:
            if came[i] != 0:
                ctx.wc.words[i] = -1
            i += 1
        ctx.wc.words[W_TUN_METADATA_PRESENT] = -1


def _set_and_output(ctx: Ctx, port: XPort) -> None:
    """Hand the packet to the tunnel's datapath port with its tunnel fields set."""
    flow = ctx.flow
    datapath = flow.copy()
    options_to_datapath(ctx.bridge.tlv, datapath)
    ctx.odp.append(Set(key_attr.TUNNEL, tunnel_bytes(datapath)))
    commit(ctx)
    if ctx.bridge.ipfix is not None:
        xlate_sampling.sample_output(ctx, port.odp_port, is_tunnel=True)
    ctx.odp.append(output_to(port.odp_port))


def _native(ctx: Ctx, port: XPort, config: TunnelConfig, destination: int, last: bool) -> bool:
    underlay = ctx.bridge.dp.underlay
    flow = ctx.flow
    source = outer_source(flow)
    route = underlay.routes.lookup(destination, int(flow.words[W_PKT_MARK] & 0xFFFFFFFF), source)
    out = _port_named(ctx, route.dev) if route is not None else None
    if route is None or out is None:
        if port.odp_port in ctx.bridge.dp.tunnels.own_stack:
            _say(ctx, OFT_DETAIL, f"tunneling to {format_address(destination)} through the host's own stack")
            if config.kind == kinds.SRV6:
                return _push_for_host(ctx, port, config, source, destination)
            _set_and_output(ctx, port)
            return True
        _say(ctx, OFT_WARN, "native tunnel routing failed")
        return False
    source = source or route.src
    gateway = route.gw or destination
    bridge = out.bridge
    mac = out.up.mac if out.up is not None else 0
    _say(ctx, OFT_DETAIL, f"tunneling to {format_address(gateway)} via {out.name}")
    neighbour = underlay.neighbours.lookup(bridge.name, gateway, ctx.xin.now)
    if neighbour is None:
        what = "ARP" if is_v4(gateway) else "ND"
        _say(ctx, OFT_DETAIL, f"neighbor cache miss for {format_address(gateway)} on bridge {bridge.name}, "
                              f"sending {what} request")
        ctx.effects.append(AskForNeighbour(underlay, out, gateway, source))
        return False
    ctx.effects.append(RefreshNeighbour(underlay, bridge.name, gateway))
    _say(ctx, OFT_DETAIL, f"tunneling from {_mac(mac)} {format_address(source)} to {_mac(neighbour)} "
                          f"{format_address(gateway)}")
    datapath = flow.copy()
    options_to_datapath(ctx.bridge.tlv, datapath)
    options = option_bytes(datapath.words, datapath.words[W_TUN_METADATA_PRESENT])
    try:
        header = outer_header(config, flow, options, mac, neighbour, source, destination)
    except HeaderError:
        _say(ctx, OFT_WARN, "native tunnel header build failed")
        return False
    by_version = kinds.OVER_IPV4 if is_v4(destination) else kinds.OVER_IPV6
    push = TnlPush(port.odp_port, out.odp_port, by_version.get(config.kind, config.kind), header)
    _outer_packet(ctx, push, _outer_flow(flow, config, mac, neighbour, source, destination), out, last)
    return True


def _push_for_host(ctx: Ctx, port: XPort, config: TunnelConfig, source: int, destination: int) -> bool:
    """Put the outer header on, whose segments no tunnel field has, and have the tunnel's own port send it."""
    try:
        header = outer_header(config, ctx.flow, b"", 0, 0, source, destination)
    except HeaderError:
        _say(ctx, OFT_WARN, "native tunnel header build failed")
        return False
    push = TnlPush(port.odp_port, port.odp_port, config.kind, header)
    ctx.odp.append(Clone((push, output_to(port.odp_port))))
    return True


def _mac(mac: int) -> str:
    return mac.to_bytes(6, "big").hex(":")


def _port_named(ctx: Ctx, name: str) -> XPort | None:
    """The port of this datapath's bridges whose device is `name`: a bridge's own one first."""
    bridges = ctx.bridge.dp.bridges
    own = bridges.get(name)
    if own is not None:
        port = own.ports.get(OFPP_LOCAL)
        if port is not None and port.name == name:
            return port
    for bridge in bridges.values():
        for port in bridge.ports.values():
            if port.name == name and port.odp_port != ODPP_NONE:
                return port
    return None


def _outer_flow(
    flow: Flow, config: TunnelConfig, src_mac: int, dst_mac: int, source: int, destination: int
) -> Flow:
    """What the packet looks like with its outer header on."""
    outer = Flow()
    words = outer.words
    mark: i64 = flow.words[W_PKT_MARK]
    words[W_PKT_MARK] = mark
    rest = flow.words[W_TUN_FLAGS]
    proto: i64 = IPPROTO_UDP if config.kind in kinds.OVER_UDP else IPPROTO_GRE
    if config.kind == kinds.SRV6:
        proto = IPPROTO_ROUTING
    src: i64 = src_mac
    dst: i64 = dst_mac
    if is_v4(destination):
        words[W_ETH_DST] = high48(dst, ETH_TYPE_IP)
        nw_src: i64 = source & 0xFFFFFFFF
        nw_dst: i64 = destination & 0xFFFFFFFF
        words[W_NW_SRC] = high32(nw_src, nw_dst)
    else:
        words[W_ETH_DST] = high48(dst, ETH_TYPE_IPV6)
        _put128(outer, W_IPV6_SRC, source)
        _put128(outer, W_IPV6_DST, destination)
    words[W_ETH_SRC] = high48(src, 0)
    tos = (rest >> S_TUN_TOS) & 0xFF
    ttl = (rest >> S_TUN_TTL) & 0xFF
    words[W_NW_PROTO] = tos << S_NW_TOS | ttl << 8 | proto
    if config.kind in kinds.OVER_UDP:
        words[W_TP_SRC] = high32((rest >> S_TUN_TP_DST) & 0xFFFF, 0)
    return outer


def _put128(flow: Flow, word: i64, value: int) -> None:
    flow.words[word] = signed64(value >> 64)
    flow.words[word + 1] = signed64(value & MASK64)


def _outer_packet(ctx: Ctx, push: TnlPush, outer: Flow, out: XPort, last: bool) -> None:
    """Go on with the outer packet in the bridge of `out`, and come back as if nothing had happened."""
    inner, base, wc, odp = ctx.flow.copy(), ctx.base, ctx.wc, ctx.odp
    actions: list[OdpAction] = [push]
    ctx.flow.assign(outer)
    ctx.base = outer.copy()
    ctx.wc = Flow()
    ctx.odp = actions
    xlate_output.go_on_in(ctx, out, last)
    ctx.flow.assign(inner)
    ctx.base = base
    ctx.wc = wc
    ctx.odp = odp
    if len(actions) > 1:
        odp.append(Clone(tuple(actions)))


def terminate(ctx: Ctx) -> int:
    """For a packet on its way out of a port that has an IP address: the datapath port of the tunnel whose
    outer packet it is, -1 if it is none. What it tells of a neighbour is learned."""
    underlay = ctx.bridge.dp.underlay
    odp_port = underlay.listeners.lookup(ctx.flow, ctx.wc)
    words = ctx.flow.words
    if odp_port is None:
        _snoop(ctx, underlay)
        return -1
    dl_type = words[W_ETH_TYPE] & 0xFFFF
    if is_ip_any(dl_type):
        _learn(ctx, underlay, _source_address(ctx.flow), ctx.flow.dl_src)
    return odp_port


def _source_address(flow: Flow) -> int:
    words = flow.words
    if words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_IP:
        return int(words[W_NW_SRC] >> 32 & 0xFFFFFFFF) | V4_MAPPED
    return (int(words[W_IPV6_SRC]) & MASK64) << 64 | (int(words[W_IPV6_SRC + 1]) & MASK64)


def _learn(ctx: Ctx, underlay: Underlay, address: int, mac: int) -> None:
    ctx.effects.append(LearnNeighbour(underlay, ctx.bridge.name, address, mac))


def _is_ours(ctx: Ctx, underlay: Underlay, address: int) -> bool:
    return any(address == own for own, _ in underlay.addresses(ctx.bridge.name))


def _snoop(ctx: Ctx, underlay: Underlay) -> None:
    """Learn from ARP replies and neighbour advertisements for us, and from gratuitous ARP."""
    flow = ctx.flow
    words = flow.words
    wc = ctx.wc.words
    dl_type = words[W_ETH_TYPE] & 0xFFFF
    if dl_type == ETH_TYPE_ARP:
        src: int = int(words[W_NW_SRC] >> 32 & 0xFFFFFFFF)
        dst: int = int(words[W_NW_DST] & 0xFFFFFFFF)
        wc[W_NW_PROTO] |= 0xFF
        wc[W_NW_SRC] |= -1
        reply = words[W_NW_PROTO] & 0xFF == ARP_REPLY and _is_ours(ctx, underlay, dst | V4_MAPPED)
        mac = int(words[W_ARP_SHA] >> 16 & 0xFFFFFFFFFFFF)
        if mac and src and (reply or src == dst):
            wc[W_ARP_SHA] |= -1 << 16
            _learn(ctx, underlay, src | V4_MAPPED, mac)
    elif dl_type == ETH_TYPE_IPV6 and words[W_NW_PROTO] & 0xFF == IPPROTO_ICMPV6:
        wc[W_NW_PROTO] |= 0xFF
        wc[W_TP_SRC] |= -1 << 48
        if (words[W_TP_SRC] >> 48) & 0xFFFF != ND_NEIGHBOR_ADVERT:
            return
        wc[W_ND_TARGET] = -1
        wc[W_ND_TARGET + 1] = -1
        target = (int(words[W_ND_TARGET]) & MASK64) << 64 | (int(words[W_ND_TARGET + 1]) & MASK64)
        mac = int(words[W_ARP_THA] >> 16 & 0xFFFFFFFFFFFF)
        if mac and target:
            _learn(ctx, underlay, target, mac)


def strip_ethernet(ctx: Ctx, config: TunnelConfig) -> None:
    """A port that takes packets without Ethernet headers is given frames all the same: theirs goes."""
    words = ctx.flow.words
    if config.packet_type == LEGACY_L3 and words[W_PACKET_TYPE] & 0xFFFFFFFF == 0:
        words[W_PACKET_TYPE] |= 0x10000 | words[W_ETH_TYPE] & 0xFFFF
