"""What in-band control asks of every translation: DHCP replies reach the bridge's own port.

The switch may get its own address, without which it has no controller, by DHCP. The request goes out by
an in-band flow; the reply is addressed to the bridge's port or broadcast, and no flow may keep it from there.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.base.signed import signed16
from vswitch.dpif.actions import Output
from vswitch.flow.layout import S_NW_PROTO, S_TP_DST, S_TP_SRC, W_ETH_TYPE, W_NW_PROTO, W_TP_SRC
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL
from vswitch.openflow.constants import OFPP_LOCAL
from vswitch.packet.numbers import ETH_TYPE_IP, IPPROTO_UDP

DHCP_SERVER_PORT: Final = 67
DHCP_CLIENT_PORT: Final = 68
NW_PROTO_BITS: Final = 0xFF << S_NW_PROTO
TP_SRC_BITS: Final = -1 << S_TP_SRC
TP_DST_BITS: Final = 0xFFFF << S_TP_DST


def output_dhcp_reply(ctx: Ctx) -> None:
    """Output a DHCP reply to the local port unless the actions have done so. For bridges with in-band
    control, at the end of the translation."""
    words = ctx.flow.words
    if words[W_ETH_TYPE] & 0xFFFF != ETH_TYPE_IP:
        return
    wc = ctx.wc.words
    wc[W_NW_PROTO] |= NW_PROTO_BITS
    if (words[W_NW_PROTO] >> S_NW_PROTO) & 0xFF != IPPROTO_UDP:
        return
    # One bit that differs is enough to tell another packet, and keeps its megaflow wide.
    ports: i64 = words[W_TP_SRC]
    differs: i64 = ((ports >> S_TP_DST) & 0xFFFF) ^ DHCP_CLIENT_PORT
    if differs != 0:
        wc[W_TP_SRC] |= _highest_bit(differs) << S_TP_DST
        return
    wc[W_TP_SRC] |= TP_DST_BITS
    differs = ((ports >> S_TP_SRC) & 0xFFFF) ^ DHCP_SERVER_PORT
    if differs != 0:
        # The topmost bit of the word is its sign.
        wc[W_TP_SRC] |= signed16(_highest_bit(differs)) << S_TP_SRC
        return
    wc[W_TP_SRC] |= TP_SRC_BITS
    local = ctx.bridge.ports.get(OFPP_LOCAL)
    if local is None or Output(local.odp_port) in ctx.odp:
        return
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, "outputting DHCP packet to local port for in-band control")
    xlate_output.output(ctx, OFPP_LOCAL)


def _highest_bit(value: i64) -> i64:
    """The highest bit that is set in 16 bits."""
    bit: i64 = 0x8000
    while value & bit == 0:
        bit >>= 1
    return bit
