"""What the programs share: where things lie on their stack and in `skb->cb`, and the fields of ctx.

Registers throughout: R6 the context, R7 to R9 as each part says. Between programs that call each other
by tail call, `skb->cb` carries what the next one needs.
"""

from __future__ import annotations

import sys
from typing import Final

from vswitch.dpif.ebpf.key import TUNNEL_KEY_SIZE
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R6, U32

TC_SHOT: Final = 2
TC_STOLEN: Final = 4
"""Verdicts by which a packet ends here. TC_ACT_STOLEN tells the host, which sent it, of no loss; tcx doesn't
know it and lets the packet pass, so that it is for what the host sends only (`attach.py`)."""
TC_UNSPEC: Final = -1
"""The packet goes on as if there were no program."""

TUNNEL_KEY_BYTES: Final = 44
"""sizeof(struct bpf_tunnel_key) since Linux 6.0, which has the local address."""
(
    T_ID, T_REMOTE, T_TOS, T_TTL, T_LOCAL,
) = (0, 4, 20, 21, 28)  # fmt: skip
"""Its members, in host order but for addresses of IPv6."""
TUNINFO_IPV6: Final = 1
"""BPF_F_TUNINFO_IPV6."""

# Fields of struct __sk_buff.
C_LEN, C_MARK, C_VLAN_PRESENT, C_VLAN_TCI, C_VLAN_PROTO, C_PRIORITY = 0, 8, 20, 24, 28, 32
C_INGRESS, C_IFINDEX = 36, 40
C_HASH, C_DATA, C_DATA_END, C_GSO_SIZE = 68, 76, 80, 176

# skb->cb.
CB_LIST: Final = 48
"""The action list to run; for the classifier of recirculated packets the recirculation id."""
CB_SLOT: Final = 52
"""The flow that it belongs to."""
CB_INFO: Final = 56
"""Byte 0: where L4 begins, 0 if it isn't known; 1: IP protocol; 2: 1 for IPv4, 2 for IPv6;
3: how often the packet was recirculated."""
CB_MARK: Final = 60
CB_DP_HASH: Final = 64

INFO_IPV4: Final = 1 << 16
INFO_IPV6: Final = 2 << 16
INFO_DEPTH: Final = 24

# The classifier's stack, down from the frame.
KEY: Final = -TUNNEL_KEY_SIZE
INFO: Final = KEY - 8
SLOT: Final = INFO - 8
HASH: Final = SLOT - 8
"""The key's hash, later its upper bits where the cache has them."""
BUCKET: Final = HASH - 8
"""Where in the cache the packet's key belongs."""
BY_MASK: Final = BUCKET - 8
"""1 if a mask knew the packet, 0 if the cache did."""
ORDER: Final = BY_MASK - 8
"""The numbers of the masks to try."""
SCRATCH: Final = ORDER - 48
"""48 bytes for whoever needs them for a moment."""
# What the interpreter keeps below it.
OLD: Final = SCRATCH - 16
NEW: Final = OLD - 16
START: Final = NEW - 8
ROUND: Final = START - 8
LIST: Final = ROUND - 8
PC: Final = LIST - 8
LAST: Final = PC - 8
TUNNEL: Final = SCRATCH - 48
"""A `struct bpf_tunnel_key`, and the version of the outer IP: of packets out of a tunnel."""
TUNNEL_VERSION: Final = TUNNEL + TUNNEL_KEY_BYTES


def net16(value: int) -> int:
    """16 bits in network order, as a load sees them."""
    return int.from_bytes(value.to_bytes(2, "big"), sys.byteorder)


def net32(value: int) -> int:
    """32 bits in network order, as a load sees them."""
    return int.from_bytes(value.to_bytes(4, "big"), sys.byteorder)


def gone(a: Asm, to: str = "") -> None:
    """The packet ends here: its verdict is R0, at label `to` or the program's end. R6: the context."""
    a.load(U32, R1, R6, C_INGRESS)
    a.mov(R0, TC_SHOT)
    skip = a.fresh("gone")
    a.jump_if(R1, "!=", 0, skip)
    a.mov(R0, TC_STOLEN)
    a.label(skip)
    if to:
        a.jump(to)
    else:
        a.exit()
