"""Datapath flows as text and back, in the words of `ovs-dpctl`: what to import from elsewhere.

    recirc_id(0),in_port(1),eth(),eth_type(0x0800),ipv4(frag=no), packets:0, bytes:0, used:never, actions:2

`odp_format_key.py` and `odp_format_actions.py` print, `odp_parse.py` and `odp_parse_actions.py` read.
"""

from __future__ import annotations

from vswitch.dpif.actions import Actions
from vswitch.dpif.odp_format_actions import format_action, format_actions
from vswitch.dpif.odp_format_key import PortNames, format_key_attrs
from vswitch.dpif.odp_key import KEY_USERSPACE, encode_key, encode_mask
from vswitch.dpif.odp_parse import (
    NoKeyError,
    OdpSyntaxError,
    key_of,
    parse_dp_flow,
    parse_key,
    parse_key_attrs,
    parse_ufid,
)
from vswitch.dpif.odp_parse_actions import parse_actions
from vswitch.dpif.ops import DpifFlow, FlowStats
from vswitch.flow.flow import Flow

__all__ = [
    "NoKeyError",
    "OdpSyntaxError",
    "format_action",
    "format_actions",
    "format_dpif_flow",
    "format_flow",
    "format_key",
    "format_stats",
    "format_ufid",
    "key_of",
    "parse_actions",
    "parse_dp_flow",
    "parse_key",
    "parse_key_attrs",
    "parse_ufid",
]


def format_key(
    flow: Flow, mask: Flow | None = None, *, verbose: bool = False, port_names: PortNames = None
) -> str:
    """The key of `flow`, with `mask` if there is one: "recirc_id(0),in_port(1),eth(...)..."."""
    data = encode_key(flow, KEY_USERSPACE)
    masks = None if mask is None else encode_mask(mask, flow, KEY_USERSPACE)
    return format_key_attrs(data, masks, verbose, port_names)


def format_flow(flow: Flow, mask: Flow, port_names: PortNames = None) -> str:
    """Key and mask of a datapath flow, without what the mask leaves out."""
    return format_key(flow, mask, port_names=port_names)


def format_ufid(ufid: bytes) -> str:
    """ "ufid:dd674bc7-bc3c-4d1f-9e65-67cecdff6473"."""
    h = ufid.hex()
    return f"ufid:{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def format_stats(stats: FlowStats, now: int) -> str:
    """ "packets:1, bytes:60, used:0.123s, flags:S"; `now` is the clock's ms."""
    used = f"{(now - stats.used) / 1000:.3f}s" if stats.used else "never"
    text = f"packets:{stats.n_packets}, bytes:{stats.n_bytes}, used:{used}"
    return f"{text}, flags:{format_packet_flags(stats.tcp_flags)}" if stats.tcp_flags else text


def format_packet_flags(tcp_flags: int) -> str:
    """TCP flags seen, one letter each as tcpdump has them: "SFP."; others in brackets."""
    letters = {0x002: "S", 0x001: "F", 0x008: "P", 0x004: "R", 0x020: "U", 0x010: ".", 0x040: "E", 0x080: "C"}
    text = "".join(letter for bit, letter in letters.items() if tcp_flags & bit)
    rest = tcp_flags & ~sum(letters)
    return f"{text}[{rest:x}]" if rest else text


def format_dpif_flow(
    flow: DpifFlow, now: int, *, verbose: bool = False, port_names: PortNames = None, dpctl: bool = True,
    extra: str = "",
) -> str:
    """One flow as `dpctl/dump-flows` prints it (without `dpctl`: `dpif/dump-flows`); `verbose` is -m, `extra`
    what the datapath adds then (`DpifClass.extra_info`)."""
    ufid = f"{format_ufid(flow.ufid)}, " if verbose and flow.ufid else ""
    key = format_key(flow.key, flow.mask, verbose=verbose, port_names=port_names)
    text = f"{ufid}{key}, {format_stats(flow.stats, now)}"
    if verbose and dpctl:
        if flow.offloaded:
            text += f", offloaded:{flow.offloaded}"
        text += f", dp:{flow.dp_layer}"
    text += f", actions:{_actions(flow.actions, port_names)}"
    return f"{text}, dp-extra-info:{extra}" if verbose and dpctl and extra else text


def _actions(actions: Actions, port_names: PortNames) -> str:
    return format_actions(actions, port_names)
