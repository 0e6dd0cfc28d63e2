"""What the mask of a datapath flow has because key attributes can't leave it out.

`OVS_KEY_ATTR_*` tell by which attributes a key has whether a packet has a VLAN tag, of which type, and
how many MPLS labels; a mask can't make that a matter of indifference (linux/openvswitch.h; the kernel's
flow_netlink.c insists on a tag's type and presence). So packets that differ in one of these are flows of
their own to the datapath, even where no rule looks at it.
"""

from __future__ import annotations

from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.packet.numbers import ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST

TCI: Final = 0xFFFF << at.S_VLAN_TCI
TAG: Final = (at.VLAN_CFI | at.VLAN_VID_MASK) << at.S_VLAN_TCI
TPID1_TCI1: Final = 0xFFFFFFFF << at.S_VLAN_TPID1
BOS: Final = 0x100
"""Bottom of stack, in a label stack entry."""
OUTERMOST_BOS: Final = BOS << 32
"""That of the outermost label, in its word."""
N_LABELS: Final = 3
"""The labels that a flow has."""


def is_plain(key: Flow) -> bool:
    """Whether `key` has no tags: then all masks get the same bits in addition."""
    return key.words[at.W_VLAN_TCI] & at.VLAN_CFI == 0


def is_mpls(words: vec[i64]) -> bool:
    """Whether a key of `words` has MPLS labels."""
    dl_type = words[at.W_ETH_TYPE] & 0xFFFF
    return dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)


def expressible(mask: Flow, key: Flow) -> Flow:
    """`mask` with the bits that a flow of `key` (datapath port numbers) has in any case. An untagged
    flow matches all bits of both tags."""
    out = mask.copy()
    words = out.words
    flow = key.words
    # A TPID lies in the topmost bits of its word, so that its mask has the word's sign.
    tpid: i64 = -1 << at.S_VLAN_TPID
    if flow[at.W_VLAN_TCI] & at.VLAN_CFI == 0:
        words[at.W_VLAN_TCI] |= TCI
        words[at.W_VLAN_TPID] |= tpid | TPID1_TCI1
    else:
        if words[at.W_VLAN_TCI] & TCI == 0:
            words[at.W_VLAN_TCI] |= TAG
        if flow[at.W_VLAN_TPID] & tpid != 0:  # a key that was masked may lack it
            words[at.W_VLAN_TPID] |= tpid
        if flow[at.W_VLAN_TCI1] >> at.S_VLAN_TCI1 & at.VLAN_CFI == 0:
            words[at.W_VLAN_TPID] |= TPID1_TCI1
        else:
            words[at.W_VLAN_TCI1] |= at.VLAN_CFI << at.S_VLAN_TCI1 | 0xFFFF << at.S_VLAN_TPID1
    out.words = words
    return out


def counting_labels(mask: Flow, key: Flow) -> Flow:
    """`mask` as the kernel must have it: it passes over attributes of a mask that are 0 altogether, and
    then tells no numbers of labels apart, but lists the flow with none."""
    words = mask.words
    if words[at.W_MPLS_LSE] != 0 or words[at.W_MPLS_LSE + 1] != 0 or not is_mpls(key.words):
        return mask
    out = mask.copy()
    changed = out.words
    changed[at.W_MPLS_LSE] |= OUTERMOST_BOS
    out.words = changed
    return out


def n_labels(key: Flow) -> int:
    """How many MPLS labels `key` has, 0 to 3. No mask shows that flows differ by it."""
    words = key.words
    if not is_mpls(words):
        return 0
    n: i64 = 0
    while n < N_LABELS:
        entry = words[at.W_MPLS_LSE + (n >> 1)] >> (0 if n & 1 else 32)
        n += 1
        if entry & BOS:
            break
    return int(n)
