"""Flows that the datapath could not carry out, and that are therefore refused when they come.

As in the real switch that is said of fields of connection tracking in the match, of `ct` actions and of
setting the extensions of IPv6 neighbour discovery, outside of `clone`, groups and packet-outs. With
`other_config:accept-unsupported-flows` of the Open_vSwitch row they are taken, and their packets dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.flow.fields import by_name
from vswitch.flow.flags import CT_STATE_NAMES
from vswitch.openflow.actions import Action, Ct, Nat, RegMove, SetField
from vswitch.openflow.errors import OfpError

if TYPE_CHECKING:
    from vswitch.dpif.probe import Support
    from vswitch.flow.match import Match
    from vswitch.openflow.flow_mod import FlowMod

log: Final = Vlog("ofproto_dpif")
_refused_rl: Final = RateLimit(1, 5)

Lacks = frozenset[str]
"""The attributes of `Support` that are asked for here and that a datapath has not; empty as a rule."""

_ASKED: Final = (
    "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_state_nat", "ct_orig_tuple", "ct_orig_tuple6", "nd_ext",
)  # fmt: skip
_FIELDS: Final = {
    "ct_state": ("ct_state",), "ct_zone": ("ct_zone",), "ct_mark": ("ct_mark",), "ct_label": ("ct_label",),
    "ct_orig_tuple": ("ct_nw_src", "ct_nw_dst"), "ct_orig_tuple6": ("ct_ipv6_src", "ct_ipv6_dst"),
}  # fmt: skip
"""What is lacking -> the fields that can't be matched without it."""
_NAT_STATES: Final = CT_STATE_NAMES["snat"] | CT_STATE_NAMES["dnat"]
_ND: Final = frozenset(("nd_reserved", "nd_options_type"))


def lacking(support: Support) -> Lacks:
    """What of it a datapath has not."""
    return frozenset(name for name in _ASKED if not getattr(support, name))


def check(fm: FlowMod, lacks: Lacks, now: int) -> None:
    """OfpError: a datapath that `lacks` something could not carry out the flow of `fm`."""
    _check_match(fm.match, lacks)
    for action in fm.actions:
        if isinstance(action, Ct):
            why = _refused_ct(action, lacks)
            if why:
                _say("ct", why, now)
                raise OfpError("NXBAC_CT_DATAPATH_SUPPORT", f"the datapath does not support {why}")
        elif isinstance(action, SetField) and action.field.name in _ND and "nd_ext" in lacks:
            why = "setting IPv6 ND Extensions fields"
            _say("set field", why, now)
            raise OfpError("OFPBAC_BAD_SET_ARGUMENT", f"the datapath does not support {why}")


def _check_match(match: Match, lacks: Lacks) -> None:
    mask = match.mask
    for name in lacks:
        for field in _FIELDS.get(name, ()):
            if mask.get(by_name(field)):
                raise OfpError("NXBMC_CT_DATAPATH_SUPPORT", f"the datapath knows no {field}")
    if "ct_state_nat" in lacks and mask.ct_state & _NAT_STATES:
        raise OfpError("NXBMC_CT_DATAPATH_SUPPORT", "the datapath translates no addresses")


def _refused_ct(ct: Ct, lacks: Lacks) -> str:
    """What a `ct` action needs and the datapath has not; "" if there is nothing."""
    if "ct_state" in lacks:
        return "ct action"
    if "ct_zone" in lacks and (ct.zone or ct.zone_src is not None):
        return "ct zones"
    for action in ct.actions:
        if isinstance(action, Nat) and "ct_state_nat" in lacks:
            return "nat"
        if _sets(action) in lacks:
            return "setting mark and/or label"
    return ""


def _sets(action: Action) -> str:
    """The field that an action in a `ct` sets."""
    if isinstance(action, SetField):
        return action.field.name
    return action.dst.field.name if isinstance(action, RegMove) else ""


def _say(action: str, why: str, now: int) -> None:
    log.warn_rl(
        _refused_rl, now,
        "Rejecting %s action because datapath does not support %s (your kernel module may be out of date)",
        action, why,
    )  # fmt: skip
