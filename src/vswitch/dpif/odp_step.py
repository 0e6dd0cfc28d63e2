"""`Step`: one datapath action as the execution loop wants it, its operands unpacked.

The numbers `STEP_*` name the operations; `odp_compile.py` makes steps, `odp_execute.py` changes
packets by them. What `args` holds, in order, stands beside each number. Values of more than 63
bits are two signed halves, high first; every value is followed by its mask.
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.actions import Actions
from vswitch.flow.flow import Flow
from vswitch.packet.tunnel.outer import Encap

STEP_OUTPUT: Final = 1  # port
STEP_USERSPACE: Final = 2  # include_actions; data: userdata
STEP_SET_PRIORITY: Final = 3  # value, mask
STEP_SET_MARK: Final = 4  # value, mask
STEP_SET_ETHERNET: Final = 5  # src, mask, dst, mask
STEP_SET_VLAN: Final = 6  # tci, mask
STEP_SET_IPV4: Final = 7  # src, mask, dst, mask, tos, mask, ttl, mask
STEP_SET_IPV6: Final = 8  # src hi, lo, mask hi, lo, dst likewise, label, mask, tclass, mask, hlimit, mask
STEP_SET_PORTS: Final = 9  # proto, src, mask, dst, mask
STEP_SET_TCP_FLAGS: Final = 10  # flags, mask
STEP_SET_ICMP: Final = 11  # type, mask, code, mask
STEP_SET_ARP: Final = 12  # op, mask, spa, mask, tpa, mask, sha, mask, tha, mask
STEP_SET_ND: Final = 13  # target hi, lo, mask hi, lo, sll, mask, tll, mask
STEP_SET_ND_EXT: Final = 14  # reserved, mask, options type, mask
STEP_SET_MPLS: Final = 15  # lse, mask
STEP_SET_NSH: Final = 16  # flags, mask, ttl, mask, path_hdr, mask, then 4 times context, mask
STEP_PUSH_VLAN: Final = 17  # tpid, tci
STEP_POP_VLAN: Final = 18
STEP_PUSH_MPLS: Final = 19  # lse, ethertype
STEP_POP_MPLS: Final = 20  # ethertype
STEP_PUSH_NSH: Final = 21  # flags, ttl, mdtype, np, path_hdr; data: metadata
STEP_POP_NSH: Final = 22
STEP_PUSH_ETH: Final = 23  # src, dst
STEP_POP_ETH: Final = 24
STEP_SAMPLE: Final = 25  # probability; then
STEP_RECIRC: Final = 26  # recirc_id
STEP_HASH: Final = 27  # algorithm, basis
STEP_TRUNC: Final = 28  # max_len
STEP_CLONE: Final = 29  # then
STEP_CHECK_PKT_LEN: Final = 30  # pkt_len; then: greater, other: less or equal
STEP_METER: Final = 31  # meter id
STEP_DEC_TTL: Final = 32  # then: TTL exceeded
STEP_ADD_MPLS: Final = 33  # lse, ethertype, after_ethernet
STEP_DROP: Final = 34  # reason
STEP_SET_DP_HASH: Final = 35  # value, mask
STEP_CT: Final = 36  # CT_*; data: name of the timeout policy
STEP_CT_CLEAR: Final = 37
STEP_SET_TUNNEL: Final = 38  # tunnel: what the packet's becomes
STEP_TNL_PUSH: Final = 39  # tunnel port; encap; then: what follows, for each packet that it makes
STEP_TNL_POP: Final = 40  # tunnel port
STEP_LB_OUTPUT: Final = 41  # bond id

# Two runs of numbers that are one function's each (`is_set`; tests/dpif_userspace/test_steps.py).
FIRST_SET: Final = 3
LAST_SET: Final = 16
FIRST_PUSH_POP: Final = 17
LAST_PUSH_POP: Final = 24

# Where in a STEP_SET_IPV6's args things are; addresses are two halves of the value, then two of the mask.
V6_SRC: Final = 0
V6_SRC_MASK: Final = 2
V6_DST: Final = 4
V6_DST_MASK: Final = 6
V6_LABEL: Final = 8  # value, mask
V6_TCLASS: Final = 10  # value, mask
V6_HLIMIT: Final = 12  # value, mask

# Where in a STEP_CT's args things are; 128 bits are two halves, high first.
CT_FLAGS: Final = 0
CT_ZONE: Final = 1
CT_MARK: Final = 2  # value, mask
CT_LABEL: Final = 4  # value, mask, two words each
CT_HELPER: Final = 8
CT_NAT_MIN: Final = 9  # two words; IPv4 in the low one
CT_NAT_MAX: Final = 11  # two words
CT_NAT_PORTS: Final = 13  # lowest, highest; 0: none said
CT_WORDS: Final = 15

CT_COMMIT: Final = 1
CT_FORCE: Final = 2
CT_NAT: Final = 4
CT_NAT_SRC: Final = 8
CT_NAT_DST: Final = 16
CT_NAT_PERSISTENT: Final = 32
CT_NAT_HASH: Final = 64
CT_NAT_RANDOM: Final = 128
CT_NAT_V6: Final = 256

CT_HELPER_NONE: Final = 0
CT_HELPER_FTP: Final = 1
CT_HELPER_TFTP: Final = 2


def is_set(number: i64) -> bool:
    """Whether a step is `Executor.set_field`'s."""
    return FIRST_SET <= number <= LAST_SET or number == STEP_SET_DP_HASH


@final
class Step:
    """One operation. `then` and `other` are nested programs; `last` says that nothing follows, so
    that the packet needs no copy; `whole` are the flow's actions, for upcalls that carry them."""

    def __init__(self, op: i64, args: vec[i64], data: bytes = b"") -> None:
        self.op = op
        self.args = args
        self.data = data
        self.then: list[Step] = []
        self.other: list[Step] = []
        self.last: bool = False
        self.whole: Actions = ()
        self.tunnel: Flow | None = None
        self.encap: Encap | None = None
