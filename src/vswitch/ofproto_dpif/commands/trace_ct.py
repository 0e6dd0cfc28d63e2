"""What `ofproto/trace` supposes of connection tracking, which it cannot ask.

A packet that `ct(table=N)` recirculates is traced on as if the tracker had found its connection in
the state that `--ct-next` gives, or else new, and as if a NAT had taken the first address and port
of its range. ovs-vswitchd(8), "ofproto/trace".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base.unixctl import CommandError
from vswitch.flow.fields import by_name
from vswitch.flow.flags import CT_STATE_NAMES, format_flags
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    CS_ESTABLISHED,
    CS_INVALID,
    CS_NEW,
    CS_REPLY_DIR,
    CS_TRACKED,
)
from vswitch.flow.values import format_ipv4, format_ipv6
from vswitch.ofproto_dpif.xlate.trace import Recirculation

if TYPE_CHECKING:
    from vswitch.openflow.actions import Nat

RULE: Final = "=" * 79
IPV6_SRC: Final = by_name("ipv6_src")
IPV6_DST: Final = by_name("ipv6_dst")


def parse_ct_state(text: str) -> int:
    """The argument of `--ct-next`: flags, separated by commas or spaces. CommandError if they are
    unknown or exclude each other."""
    state = 0
    for name in text.replace(",", " ").split():
        if name not in CT_STATE_NAMES:
            raise CommandError(f"{name}: unknown connection tracking state flag")
        state |= CT_STATE_NAMES[name]
    why = ""
    if state and not state & CS_TRACKED:
        why = 'If "trk" is unset, no other flags are set'
    elif state & CS_INVALID and state & ~(CS_TRACKED | CS_INVALID):
        why = 'when "inv" is set, only "trk" may also be set'
    elif state & CS_NEW and state & CS_ESTABLISHED:
        why = '"new" and "est" are mutually exclusive'
    elif state & CS_NEW and state & CS_REPLY_DIR:
        why = '"new" and "rpy" are mutually exclusive'
    if why:
        raise CommandError(f"{format_flags(CT_STATE_NAMES, state)}: invalid connection state: {why}")
    return state


def resume(back: Recirculation, ct_next: list[int]) -> str:
    """Make `back.flow` the packet as it comes back, and say so. Takes the first of `ct_next`."""
    flow = back.flow
    flow.recirc_id = back.recirc_id
    flow.ct_zone = back.zone
    text = f"\n\n{RULE}\nrecirc({back.recirc_id:#x}) - resume conntrack with "
    if ct_next:
        flow.ct_state = ct_next.pop(0)
        text += f"ct_state={format_flags(CT_STATE_NAMES, flow.ct_state)}\n"
    else:
        flow.ct_state = CS_TRACKED | CS_NEW
        text += "default ct_state=trk|new (use --ct-next to customize)\n"
    if back.nat is not None:
        text += "Replacing src/dst IP/ports to simulate NAT:\n"
        text += f" Initial flow: {_addresses(flow, back.nat)}\n"
        _translate(flow, back.nat)
        text += f" Modified flow: {_addresses(flow, back.nat)}\n"
    return f"{text}{RULE}\n\n"


def _addresses(flow: Flow, nat: Nat) -> str:
    if not nat.family:
        return ""
    if nat.family == 6:
        src, dst = f"[{format_ipv6(flow.get(IPV6_SRC))}]", f"[{format_ipv6(flow.get(IPV6_DST))}]"
        return f"ipv6_src={src},tp_src={flow.tp_src},ipv6_dst={dst},tp_dst={flow.tp_dst}"
    src, dst = format_ipv4(flow.nw_src), format_ipv4(flow.nw_dst)
    return f"nw_src={src},tp_src={flow.tp_src},nw_dst={dst},tp_dst={flow.tp_dst}"


def _translate(flow: Flow, nat: Nat) -> None:
    """Do what `nat` does to a new connection's packet."""
    address = nat.min_addr
    if address is None:
        return
    if nat.kind == "src":
        if nat.family == 6:
            flow.set(IPV6_SRC, address)
        else:
            flow.nw_src = address
        flow.tp_src = nat.min_port or flow.tp_src
    elif nat.kind == "dst":
        if nat.family == 6:
            flow.set(IPV6_DST, address)
        else:
            flow.nw_dst = address
        flow.tp_dst = nat.min_port or flow.tp_dst
