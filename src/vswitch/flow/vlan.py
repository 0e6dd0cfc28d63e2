"""The VLAN tags of a flow: tag 0 is the outer one, and a tag's "qtag" is TPID << 16 | TCI."""

from __future__ import annotations

from mypy_extensions import i64

from vswitch.base.signed import signed16
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    S_VLAN_TCI1,
    S_VLAN_TPID,
    S_VLAN_TPID1,
    VLAN_CFI,
    W_VLAN_TCI,
    W_VLAN_TPID,
)
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021AD, ETH_TYPE_VLAN_8021Q


def is_vlan(dl_type: i64) -> bool:
    """Either VLAN Ethernet type."""
    return dl_type in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD)


def qtag(flow: Flow, i: i64) -> i64:
    """Tag `i`, 0 if there is none."""
    if i == 0:
        tpid = (flow.words[W_VLAN_TPID] >> S_VLAN_TPID) & 0xFFFF
        return (tpid << 16) | (flow.words[W_VLAN_TCI] & 0xFFFF)
    word = flow.words[W_VLAN_TPID]
    return (((word >> S_VLAN_TPID1) & 0xFFFF) << 16) | ((word >> S_VLAN_TCI1) & 0xFFFF)


def set_qtag(flow: Flow, i: i64, value: i64) -> None:
    """Set tag `i`."""
    words = flow.words
    tpid = (value >> 16) & 0xFFFF
    tci = value & 0xFFFF
    if i == 0:
        words[W_VLAN_TCI] = (words[W_VLAN_TCI] & ~0xFFFF) | tci
        signed = signed16(tpid)
        words[W_VLAN_TPID] = (words[W_VLAN_TPID] & 0xFFFFFFFFFFFF) | (signed << S_VLAN_TPID)
    else:
        inner = (tpid << S_VLAN_TPID1) | (tci << S_VLAN_TCI1)
        words[W_VLAN_TPID] = (words[W_VLAN_TPID] & ~0xFFFFFFFF0000) | inner


def n_vlans(flow: Flow) -> i64:
    """How many tags the packet has (as many as the flow holds)."""
    if flow.words[W_VLAN_TCI] & VLAN_CFI == 0:
        return 0
    return 2 if (flow.words[W_VLAN_TPID] >> S_VLAN_TCI1) & VLAN_CFI != 0 else 1
