"""What userspace datapaths log at debug level, in Open vSwitch's words: packets that go up, flows that come
and change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from vswitch.base.blake2 import blake2b
from vswitch.base.vlog import Vlog
from vswitch.dpif.odp_text import format_actions, format_flow, format_key, format_ufid
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.flow.packet_text import format_as

if TYPE_CHECKING:
    from vswitch.dpif.actions import Actions
    from vswitch.dpif.ops import Upcall

NO_TAG: Final = 0x1FFF
"""The bits of a tag that a packet without one lacks: the datapath has none for its priority."""
log: Final = Vlog("dpif_netdev")


def log_upcalls(name: str, upcalls: Sequence[Upcall]) -> None:
    """Packets of datapath `name` go up: each with its key and what is in it."""
    for upcall in upcalls:
        key = format_key(upcall.key, verbose=True)
        shown = format_as(upcall.packet, upcall.key)
        log.dbg("%s: %s upcall:\n%s\n%s", name, upcall.type.name.lower(), key, shown)


def log_flow(key: Flow, mask: Flow, ufid: bytes, old: Actions | None, actions: Actions) -> None:
    """The flow `ufid` came, or has `actions` in the place of `old`."""
    mega = blake2b(key.masked(mask).key() + mask.key(), digest_size=16).digest()
    what = f"{format_ufid(ufid)} mega_{format_ufid(mega)} {format_flow(key, mask)}"
    if old is None:
        log.dbg("flow_add: %s, actions:%s", what, format_actions(actions))
    else:
        log.dbg("flow_mod: %s, old_actions:%s, actions:%s",
                what, format_actions(old), format_actions(actions))  # fmt: skip
    # The classifiers are by port, so that no match has it.
    rest = mask.copy()
    rest.in_port = 0
    if not key.vlan_tci:
        rest.vlan_tci = NO_TAG if mask.vlan_tci else 0
    if not key.vlan_tci1:
        rest.vlan_tci1 = 0
    log.dbg("flow match: %s", Match(key.masked(rest), rest))
