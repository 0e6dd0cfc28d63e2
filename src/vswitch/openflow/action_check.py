"""Whether actions make sense for the packets that a match selects.

The actions are walked with a flow that has what the match says, changed as they change it: after
`push_vlan` there is a VLAN tag, after `push_mpls` no IP header. What Open vSwitch refuses only
for OpenFlow 1.1 and later (mod_nw_src without "ip") passes here unless `strict`: at run time such
an action does nothing. Those of an action set pass in every version, those of a group's buckets
are not checked at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import CS_INVALID, FRAG_LATER
from vswitch.flow.match import Match
from vswitch.flow.prereq import effective_dl_type, prereqs_ok
from vswitch.openflow import actions as a
from vswitch.openflow.constants import (
    OFPG_MAX,
    OFPM_MAX,
    OFPP_ALL,
    OFPP_CONTROLLER,
    OFPP_FLOOD,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_MAX,
    OFPP_NONE,
    OFPP_NORMAL,
    OFPP_TABLE,
    OFPTT_ALL,
)
from vswitch.openflow.errors import OfpError
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
)

OUTPUT_PORTS: Final = frozenset((
    OFPP_IN_PORT, OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_CONTROLLER, OFPP_LOCAL,
))
"""Reserved ports that packets can be output to."""
MPLS: Final = (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)
IP: Final = (ETH_TYPE_IP, ETH_TYPE_IPV6)
PT_NSH: Final = 0x10000 | ETH_TYPE_NSH
NAT_TYPES: Final = {4: ETH_TYPE_IP, 6: ETH_TYPE_IPV6}
TCP: Final = 6
TRANSPORTS: Final = (TCP, 17, 132)
VLAN_CFI: Final = 0x1000
ALG_FTP: Final = 21
ALG_TFTP: Final = 69
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
PT_UNKNOWN: Final = 0xFFFFFFFF
"""No packet type (ovs-fields(7))."""
INCONSISTENT: Final = "OFPBAC_MATCH_INCONSISTENT"
READ_ONLY: Final = "OFPBAC_BAD_SET_ARGUMENT"
"""A field that no action may write is written."""

_CT_NW_SRC: Final = by_name("ct_nw_src")
"""A field of the connection's original direction: its prerequisite is a valid connection."""


def check_actions(actions: a.Actions, match: Match, max_ports: int = OFPP_MAX,
                  table_id: int = OFPTT_ALL, n_tables: int = 255, strict: bool = False) -> None:
    """OfpError if `actions` don't fit packets of `match` in table `table_id` (255: unknown).

    OFPBAC_MATCH_INCONSISTENT, OFPBAC_BAD_SET_ARGUMENT, OFPBAC_BAD_OUT_PORT, OFPBAC_BAD_OUT_GROUP,
    OFPBAC_BAD_TAG, OFPBIC_BAD_TABLE_ID, OFPMMFC_INVALID_METER, NXBAC_BAD_CONJUNCTION; `detail` is the
    action's class.
    """
    plain = True
    conjunction = False
    for action in actions:
        if not isinstance(action, a.Output):
            plain = False
            if isinstance(action, a.Conjunction):
                conjunction = True
    if plain:  # Most flows: no need for a packet that the actions change.
        for action in actions:
            if isinstance(action, a.Output):
                check_port(action.port, action, max_ports)
        return
    if conjunction:
        for action in actions:
            if not isinstance(action, a.Conjunction | a.Note):
                raise OfpError("NXBAC_BAD_CONJUNCTION", type(action).__name__)
        return
    check = _Check(match.flow.copy(), match.mask, max_ports, table_id, n_tables, strict)
    check.run(actions)
    if check.inconsistent:
        raise OfpError(INCONSISTENT, check.inconsistent)


def check_port(port: int, action: a.Action, max_ports: int) -> None:
    """OfpError OFPBAC_BAD_OUT_PORT: `action` outputs to what can't be a port."""
    if port not in OUTPUT_PORTS and port >= max_ports:
        raise OfpError("OFPBAC_BAD_OUT_PORT", f"{type(action).__name__} {port}")


class _Check:
    def __init__(self, flow: Flow, mask: Flow, max_ports: int, table_id: int, n_tables: int,
                 strict: bool) -> None:
        self.flow = flow
        self.mask = mask
        self.max_ports = max_ports
        self.table_id = table_id
        self.n_tables = n_tables
        self.strict = strict
        self.inconsistent = ""
        """The first action that 1.1 and later refuse, which errors of every version come before."""

    def run(self, actions: Iterable[a.Action]) -> None:
        for action in actions:
            self._one(action)

    def _nested(self, actions: Iterable[a.Action]) -> None:
        """Check actions that work on a copy of the packet."""
        kept = self.flow.copy()
        self.run(actions)
        self.flow = kept

    def _soft(self, ok: bool, action: a.Action) -> None:
        if not ok and self.strict and not self.inconsistent:
            self.inconsistent = type(action).__name__

    def _field(self, field: Field, action: a.Action) -> None:
        if not prereqs_ok(field, self.flow, self.mask):
            raise OfpError(INCONSISTENT, f"{type(action).__name__} {field.name}")

    def _written(self, field: Field, action: a.Action) -> None:
        self._field(field, action)
        if not field.writable:
            raise OfpError(READ_ONLY, f"{type(action).__name__} {field.name}")

    def _port(self, port: int, action: a.Action) -> None:
        check_port(port, action, self.max_ports)

    def _one(self, action: a.Action) -> None:
        flow = self.flow
        match action:
            case a.Output() | a.OutputTrunc():
                self._port(action.port, action)
            case a.Enqueue():
                if action.port >= self.max_ports and action.port not in (OFPP_IN_PORT, OFPP_LOCAL):
                    raise OfpError("OFPBAC_BAD_OUT_PORT", f"Enqueue {action.port}")
            case a.OutputReg() | a.StackPush():
                self._field(action.src.field, action)
            case a.StackPop() | a.Multipath():
                self._written(action.dst.field, action)
            case a.CheckPktLarger():
                # Whether the packet has the field is seen when it is there.
                if not action.dst.field.writable:
                    raise OfpError(READ_ONLY, f"CheckPktLarger {action.dst.field.name}")
            case a.Bundle():
                for port in action.members:
                    if port != OFPP_NONE:
                        self._port(port, action)
                if action.dst is not None:
                    self._written(action.dst.field, action)
            case a.SetField():
                self._set_field(action)
            case a.RegMove():
                self._field(action.src.field, action)
                self._written(action.dst.field, action)
            case a.SetVlanVid() | a.SetVlanPcp():
                self._soft(bool(flow.vlan_tci & VLAN_CFI) or action.push, action)
                flow.vlan_tci |= VLAN_CFI
            case a.StripVlan():
                self._soft(bool(flow.vlan_tci & VLAN_CFI), action)
                flow.vlan_tci = flow.vlan_tci1
                flow.vlan_tci1 = 0
            case a.PushVlan():
                if flow.vlan_tci1 & VLAN_CFI:
                    raise OfpError("OFPBAC_BAD_TAG", "PushVlan")
                flow.vlan_tci1 = flow.vlan_tci
                flow.vlan_tci |= VLAN_CFI
            case a.PushMpls():
                self._soft(flow.packet_type == 0, action)
                if effective_dl_type(flow) in IP:
                    flow.nw_proto = 0
                flow.dl_type = action.ethertype
            case a.PopMpls():
                self._soft(flow.packet_type == 0 and effective_dl_type(flow) in MPLS, action)
                flow.dl_type = action.ethertype
            case a.Clone():
                self._nested(action.actions)
            case a.WriteActions():
                # What packets are when the set is carried out, nobody knows yet.
                strict, self.strict = self.strict, False
                self._nested(action.actions)
                self.strict = strict
            case a.Ct():
                self._ct(action)
            case a.Sample():
                for source in (action.obs_domain_src, action.obs_point_src):
                    if source is not None:
                        self._field(source.field, action)
            case a.Resubmit():
                if action.with_ct_orig and not prereqs_ok(_CT_NW_SRC, flow, self.mask):
                    raise OfpError(INCONSISTENT, "Resubmit ct")
            case a.Group():
                if action.group_id > OFPG_MAX:
                    raise OfpError("OFPBAC_BAD_OUT_GROUP", str(action.group_id))
            case a.Meter():
                if not 0 < action.meter_id <= OFPM_MAX:
                    raise OfpError("OFPMMFC_INVALID_METER", str(action.meter_id))
            case a.GotoTable():
                known = self.table_id != OFPTT_ALL
                if action.table_id >= self.n_tables or (known and action.table_id <= self.table_id):
                    raise OfpError("OFPBIC_BAD_TABLE_ID", f"goto_table:{action.table_id}")
            case a.Learn():
                self._learn(action)
            case a.DeleteField():
                if not action.field.name.startswith("tun_metadata"):
                    raise OfpError("OFPBAC_BAD_ARGUMENT", f"DeleteField {action.field.name}")
            case a.Encap():
                flow.packet_type = action.packet_type
                if action.packet_type >> 16 == 1:
                    flow.dl_type = action.packet_type & 0xFFFF
                if effective_dl_type(flow) not in IP:
                    flow.nw_proto = 0
            case a.Decap():
                if flow.packet_type == 0:
                    flow.packet_type = 0x10000 | flow.dl_type
                else:
                    # What lies below is known when a packet is there: nothing may depend on it.
                    flow.packet_type = PT_UNKNOWN
                    flow.dl_type = 0xFFFF
            case a.DecNshTtl():
                self._soft(flow.packet_type == PT_NSH or flow.dl_type == ETH_TYPE_NSH, action)
            case _:
                self._headers(action)

    def _headers(self, action: a.Action) -> None:
        """Actions whose prerequisites only OpenFlow 1.1 and later insist on."""
        flow = self.flow
        dl_type = effective_dl_type(flow)
        if isinstance(action, a.SetIpv4Src | a.SetIpv4Dst):
            self._soft(dl_type == ETH_TYPE_IP, action)
        elif isinstance(action, a.SetIpDscp | a.SetIpEcn | a.SetIpTtl | a.DecTtl):
            self._soft(dl_type in IP, action)
        elif isinstance(action, a.SetL4SrcPort | a.SetL4DstPort):
            has_ports = flow.nw_proto in TRANSPORTS and not flow.nw_frag & FRAG_LATER
            self._soft(dl_type in IP and has_ports, action)
        elif isinstance(action, a.FinTimeout):
            self._soft(flow.nw_proto == TCP, action)
        elif isinstance(action, a.SetMplsLabel | a.SetMplsTc | a.SetMplsTtl | a.DecMplsTtl):
            self._soft(dl_type in MPLS, action)

    def _set_field(self, action: a.SetField) -> None:
        field = action.field
        self._written(field, action)
        if field.name == "vlan_vid" and not self.flow.vlan_tci & VLAN_CFI:
            raise OfpError(INCONSISTENT, "SetField vlan_vid")
        if field.name == "vlan_tci":
            self.flow.vlan_tci = action.value

    def _ct(self, action: a.Ct) -> None:
        dl_type = effective_dl_type(self.flow)
        if (
            dl_type not in IP
            or (action.commit and self.flow.ct_state & CS_INVALID)
            or (action.alg == ALG_FTP and self.flow.nw_proto != IPPROTO_TCP)
            or (action.alg == ALG_TFTP and self.flow.nw_proto != IPPROTO_UDP)
        ):
            raise OfpError(INCONSISTENT, "Ct")
        if action.zone_src is not None:
            self._field(action.zone_src.field, action)
        for nested in action.actions:
            if isinstance(nested, a.Nat) and nested.family and dl_type != NAT_TYPES[nested.family]:
                raise OfpError(INCONSISTENT, "Nat")
        self._nested(action.actions)

    def _learn(self, action: a.Learn) -> None:
        """The learned flow's match grows spec by spec, and its prerequisites with it."""
        learned = Match()
        for spec in action.specs:
            if spec.src is not None:
                self._field(spec.src.field, action)
            if spec.dst is None:
                continue
            field = spec.dst.field
            if not prereqs_ok(field, learned.flow, learned.mask):
                raise OfpError(INCONSISTENT, f"Learn {field.name}")
            if spec.kind == "load" and not field.writable:
                raise OfpError(READ_ONLY, f"Learn {field.name}")
            if spec.kind == "match" and spec.src is None and spec.dst.whole:
                learned.set(field, spec.value)
