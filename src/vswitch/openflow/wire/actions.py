"""Actions on the wire: `put_actions` and `get_actions`, for each version what Open vSwitch 3.1 sends.

What each action looks like is in `standard.py` (OpenFlow's own), `ports.py`, `set_field.py`,
`nicira.py`, `properties.py`, `hashing.py`, `learn.py` and `ct.py`; here are the tables of them, and the
actions that hold others. Compiled by mypyc.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mypy_extensions import i64

from vswitch.flow.match import Match
from vswitch.openflow import actions as a
from vswitch.openflow.action_nesting import check_nesting
from vswitch.openflow.actions import Action, Actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire import ct, hashing, learn, nicira, ports, properties, set_field, standard
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.put import NX_VENDOR_ID, OFPAT_EXPERIMENTER, Put, begin_nx, end_action
from vswitch.openflow.wire.version import OFP10, OFP13, OFP14, OFP15

ONF_VENDOR_ID: Final = 0x4F4E4600
ONFACT13_COPY_FIELD: Final = 3200
NXAST_CLONE: Final = 42
MAX_DEPTH: Final = 100
"""How deep actions may be nested."""
NOT_IN_ACTION_SET: Final = (
    a.Bundle, a.CheckPktLarger, a.Clone, a.Conjunction, a.Controller, a.DebugRecirc, a.DebugSlow,
    a.DeleteField, a.Exit, a.FinTimeout,
    a.Learn, a.Meter, a.Multipath, a.Note, a.OutputReg, a.OutputTrunc, a.PopQueue, a.Sample, a.StackPop,
    a.StackPush,
)  # fmt: skip
"""What write_actions refuses."""


def put_actions(w: Writer, actions: Actions, version: int, match: Match | None = None) -> None:
    """`actions` one after the other, each a multiple of 8 bytes, as Open vSwitch 3.1 sends them.

    `match` is what the flow's packets have: mod_vlan_vid pushes a tag first where it says none, from
    1.1 on, and mod_tp_src takes the field of its protocol, if it says one, from 1.2 on. What `version` has
    no words for falls away (a meter before 1.3); in 1.0 goto_table and write_metadata are Nicira's actions.
    """
    put_action_list(w, actions, Put(version, match))


def put_action_list(w: Writer, actions: Actions, ctx: Put) -> None:
    """`put_actions` where something is known of the flow."""
    for action in actions:
        _PUT[type(action)](w, action, ctx)


def _put_output(w: Writer, action: a.Output, ctx: Put) -> None:
    ports.put_output(w, action.port, action.max_len, ctx.version)


def _put_set_queue(w: Writer, action: a.SetQueue, ctx: Put) -> None:
    ports.put_set_queue(w, action.queue, ctx.version)


def _put_pop_queue(w: Writer, _action: a.PopQueue, _ctx: Put) -> None:
    nicira.put_bare(w, ports.NXAST_POP_QUEUE)


def _put_stack_push(w: Writer, action: a.StackPush, _ctx: Put) -> None:
    nicira.put_stack(w, nicira.NXAST_STACK_PUSH, action.src)


def _put_stack_pop(w: Writer, action: a.StackPop, _ctx: Put) -> None:
    nicira.put_stack(w, nicira.NXAST_STACK_POP, action.dst)


def _put_bare(w: Writer, action: Action, _ctx: Put) -> None:
    nicira.put_bare(w, _BARE[type(action)])


def _put_ct(w: Writer, action: a.Ct, ctx: Put) -> None:
    start = ct.put_ct_head(w, action)
    put_action_list(w, action.actions, ctx)
    end_action(w, start)


def _put_clone(w: Writer, action: a.Clone, ctx: Put) -> None:
    start = begin_nx(w, NXAST_CLONE)
    w.pad(6)
    has_vlan = ctx.has_vlan
    put_action_list(w, action.actions, ctx)
    ctx.has_vlan = has_vlan
    end_action(w, start)


def _put_meter(w: Writer, action: a.Meter, ctx: Put) -> None:
    if ctx.version >= OFP15:
        set_field.put_plain(w, 29, action.meter_id, 4)


def _put_write_metadata(w: Writer, action: a.WriteMetadata, ctx: Put) -> None:
    if ctx.version == OFP10:
        nicira.put_write_metadata(w, action, ctx)


def _put_goto_table(w: Writer, action: a.GotoTable, ctx: Put) -> None:
    if ctx.version == OFP10:
        ports.put_resubmit(w, a.Resubmit(table_id=action.table_id), ctx)


def _put_nothing(_w: Writer, _action: Action, _ctx: Put) -> None:
    """Instructions that have no place among actions."""


_BARE: Final[dict[type[Any], int]] = {
    a.Exit: nicira.NXAST_EXIT,
    a.CtClear: nicira.NXAST_CT_CLEAR,
    a.DecNshTtl: nicira.NXAST_DEC_NSH_TTL,
    a.DebugRecirc: nicira.NXAST_DEBUG_RECIRC,
    a.DebugSlow: nicira.NXAST_DEBUG_SLOW,
}

_PUT: Final[dict[type[Any], Callable[[Writer, Any, Put], None]]] = {
    a.Output: _put_output,
    a.OutputReg: ports.put_output_reg,
    a.OutputTrunc: ports.put_output_trunc,
    a.Controller: properties.put_controller,
    a.Enqueue: ports.put_enqueue,
    a.Bundle: hashing.put_bundle,
    a.Group: standard.put_group,
    a.SetVlanVid: standard.put_set_vlan_vid,
    a.SetVlanPcp: standard.put_set_vlan_pcp,
    a.StripVlan: standard.put_strip_vlan,
    a.PushVlan: standard.put_push_vlan,
    a.SetEthSrc: standard.put_set_eth_src,
    a.SetEthDst: standard.put_set_eth_dst,
    a.SetIpv4Src: standard.put_set_ipv4_src,
    a.SetIpv4Dst: standard.put_set_ipv4_dst,
    a.SetIpDscp: standard.put_set_ip_dscp,
    a.SetIpEcn: standard.put_set_ip_ecn,
    a.SetIpTtl: standard.put_set_ip_ttl,
    a.SetL4SrcPort: standard.put_set_l4_src,
    a.SetL4DstPort: standard.put_set_l4_dst,
    a.SetField: set_field.put_set_field,
    a.RegMove: set_field.put_reg_move,
    a.StackPush: _put_stack_push,
    a.StackPop: _put_stack_pop,
    a.DeleteField: nicira.put_delete_field,
    a.DecTtl: standard.put_dec_ttl,
    a.PushMpls: standard.put_push_mpls,
    a.PopMpls: standard.put_pop_mpls,
    a.SetMplsLabel: standard.put_set_mpls_label,
    a.SetMplsTc: standard.put_set_mpls_tc,
    a.SetMplsTtl: standard.put_set_mpls_ttl,
    a.DecMplsTtl: standard.put_dec_mpls_ttl,
    a.DecNshTtl: _put_bare,
    a.Encap: properties.put_encap,
    a.Decap: properties.put_decap,
    a.SetTunnel: standard.put_tunnel,
    a.SetQueue: _put_set_queue,
    a.PopQueue: _put_pop_queue,
    a.CheckPktLarger: nicira.put_check_pkt_larger,
    a.Multipath: hashing.put_multipath,
    a.Resubmit: ports.put_resubmit,
    a.Clone: _put_clone,
    a.Exit: _put_bare,
    a.Conjunction: nicira.put_conjunction,
    a.Learn: learn.put_learn,
    a.FinTimeout: nicira.put_fin_timeout,
    a.Nat: ct.put_nat,
    a.Ct: _put_ct,
    a.CtClear: _put_bare,
    a.Sample: nicira.put_sample,
    a.Note: nicira.put_note,
    a.DebugRecirc: _put_bare,
    a.DebugSlow: _put_bare,
    a.Meter: _put_meter,
    a.ClearActions: _put_nothing,
    a.WriteActions: _put_nothing,
    a.WriteMetadata: _put_write_metadata,
    a.GotoTable: _put_goto_table,
}


def get_actions(r: Reader, length: int, version: int) -> Actions:
    """The actions in the next `length` bytes of `r`.

    OfpError: OFPBRC_BAD_LEN (`length` is no multiple of 8, or more than there is), OFPBAC_*, for fields
    OFPBMC_*, for properties OFPBPC_*, Nicira's NXBAC_* and NXBRC_*.
    """
    if length & 7:
        raise OfpError("OFPBRC_BAD_LEN", f"actions of {length} bytes")
    found = get_action_list(r.sub(length), version, 0)
    check_list(found, None)
    return found


def get_action_list(r: Reader, version: int, depth: int) -> Actions:
    """All of `r` as actions, which stand `depth` deep in others."""
    if depth > MAX_DEPTH:
        raise OfpError("OFPBAC_BAD_ARGUMENT", "actions are nested too deeply")
    found: list[Action] = []
    while r.pos < r.end:
        if r.end - r.pos < 4:
            raise OfpError("OFPBAC_BAD_LEN", "action")
        type_ = r.u16()
        size = r.u16()
        if type_ == OFPAT_EXPERIMENTER:
            found.append(_get_experimenter(r, size, version, depth))
        else:
            found.append(_get_standard(r, type_, size, version))
    return tuple(found)


def _body(r: Reader, type_: int, size: int, wanted: i64) -> Reader:
    """The rest of an action of `size` bytes, of which it must have `wanted` (negative: at least)."""
    size64: i64 = size
    if size < 8 or size & 7 or size - 4 > r.end - r.pos:
        raise OfpError("OFPBAC_BAD_LEN", f"action of {size} bytes")
    if size64 != wanted if wanted > 0 else size64 < -wanted:
        raise OfpError("OFPBAC_BAD_LEN", f"action {type_} of {size} bytes")
    return r.sub(size - 4, "OFPBAC_BAD_LEN")


def _get_standard(r: Reader, type_: int, size: int, version: int) -> Action:
    if version == OFP10:
        if type_ >= len(standard.SIZES10):
            raise OfpError("OFPBAC_BAD_TYPE", f"action {type_}")
        return standard.get10(_body(r, type_, size, standard.SIZES10[type_]), type_)
    known = standard.SIZES11.get(type_)
    if known is None or not known[1] <= version <= known[2]:
        raise OfpError("OFPBAC_BAD_TYPE", f"action {type_}")
    return standard.get11(_body(r, type_, size, known[0]), type_, version)


def _get_experimenter(r: Reader, size: int, version: int, depth: int) -> Action:
    if r.end - r.pos < 4:
        raise OfpError("OFPBAC_BAD_LEN", f"experimenter action of {size} bytes")
    vendor = r.u32()
    if vendor != NX_VENDOR_ID and vendor != ONF_VENDOR_ID:
        raise OfpError("OFPBAC_BAD_VENDOR", f"vendor {vendor:#x}")
    if r.end - r.pos < 8:
        raise OfpError("OFPBAC_BAD_LEN", f"experimenter action of {size} bytes")
    subtype: int = r.u16()
    r.pos -= 6
    if vendor == ONF_VENDOR_ID:
        if subtype != ONFACT13_COPY_FIELD or version not in (OFP13, OFP14):
            raise OfpError("OFPBAC_BAD_VENDOR_TYPE", f"ONF action {subtype}")
        body = _body(r, subtype, size, -24)
        body.skip(8)
        return set_field.get_reg_move(body, 2)
    known = _NX_SIZES.get(subtype)
    span = _NX_VERSIONS.get(subtype)
    if known is None or (span is not None and not span[0] <= version <= span[1]):
        raise OfpError("OFPBAC_BAD_VENDOR_TYPE", f"Nicira action {subtype}")
    body = _body(r, subtype, size, known)
    body.skip(6)
    if subtype == NXAST_CLONE:
        body.skip(6)
        return a.Clone(get_action_list(body, version, depth + 1))
    if subtype == ct.NXAST_CT:
        return _get_ct(body, version, depth)
    return _GET_NX[subtype](body)


def _get_ct(body: Reader, version: int, depth: int) -> Action:
    head = ct.get_ct_head(body)
    within = get_action_list(body, version, depth + 1)
    check_list(within, head)
    return a.Ct(
        head.commit, head.force, head.zone, head.zone_src, head.recirc_table, head.alg, within
    )


def check_list(actions: Actions, outer: Action | None, flow10: bool = False) -> None:
    """What may stand together, and within `outer`; `flow10`: in a flow of 1.0, which takes write_metadata,
    an instruction otherwise, as its last action.

    OfpError: OFPBAC_BAD_ARGUMENT, OFPBAC_BAD_SET_ARGUMENT, OFPBAC_BAD_TYPE, NXBAC_BAD_CONJUNCTION,
    OFPBIC_UNSUP_INST, OFPBIC_DUP_INST, OFPBAC_UNSUPPORTED_ORDER.
    """
    metadata = False
    for action in actions:
        if isinstance(action, a.WriteMetadata):
            if isinstance(outer, a.Ct):
                raise OfpError("OFPBAC_BAD_ARGUMENT", "write_metadata in ct")
            if not flow10:
                raise OfpError("OFPBIC_UNSUP_INST", "write_metadata among actions")
            if metadata:
                raise OfpError("OFPBIC_DUP_INST", "write_metadata twice")
            metadata = True
        elif metadata:
            raise OfpError("OFPBAC_UNSUPPORTED_ORDER", "an action after write_metadata")
        if isinstance(action, a.Conjunction) and not isinstance(outer, a.WriteActions):
            # Beside it nothing else is looked at, wherever it stands, as in Open vSwitch.
            if not all(isinstance(each, a.Conjunction | a.Note) for each in actions):
                raise OfpError("NXBAC_BAD_CONJUNCTION", "conjunction beside other actions")
            return
        check_nesting(action, isinstance(outer, a.Ct))
        if isinstance(outer, a.Ct):
            if isinstance(action, a.Nat) and action.kind and not outer.commit:
                raise OfpError("OFPBAC_BAD_ARGUMENT", "nat without commit")
        elif isinstance(action, a.Clone):
            check_list(action.actions, action)
        if isinstance(outer, a.WriteActions) and isinstance(action, NOT_IN_ACTION_SET):
            raise OfpError("OFPBAC_BAD_TYPE", f"{type(action).__name__} in an action set")


def _get_resubmit(r: Reader) -> Action:
    return ports.get_resubmit(r, False, False)


def _get_resubmit_table(r: Reader) -> Action:
    return ports.get_resubmit(r, True, False)


def _get_resubmit_table_ct(r: Reader) -> Action:
    return ports.get_resubmit(r, True, True)


def _get_set_tunnel(r: Reader) -> Action:
    r.skip(2)
    return a.SetTunnel(r.u32())


def _get_set_tunnel64(r: Reader) -> Action:
    r.skip(6)
    return a.SetTunnel(r.u64(), True)


def _get_set_queue(r: Reader) -> Action:
    r.skip(2)
    return a.SetQueue(r.u32())


def _get_pop_queue(_r: Reader) -> Action:
    return a.PopQueue()


def _get_reg_move(r: Reader) -> Action:
    return set_field.get_reg_move(r, 0)


def _get_reg_load2(r: Reader) -> Action:
    return set_field.get_set_field(r, may_mask=True)


def _get_note(r: Reader) -> Action:
    return a.Note(r.rest())


def _get_bundle(r: Reader) -> Action:
    return hashing.get_bundle(r, False)


def _get_bundle_load(r: Reader) -> Action:
    return hashing.get_bundle(r, True)


def _get_learn(r: Reader) -> Action:
    return learn.get_learn(r, False)


def _get_learn2(r: Reader) -> Action:
    return learn.get_learn(r, True)


def _get_exit(_r: Reader) -> Action:
    return a.Exit()


def _get_dec_ttl(_r: Reader) -> Action:
    return a.DecTtl()


def _get_pop_mpls(r: Reader) -> Action:
    return a.PopMpls(r.u16())


def _get_mpls_ttl(r: Reader) -> Action:
    return standard.get_mpls_setter(r, 15, 0)


def _get_dec_mpls_ttl(_r: Reader) -> Action:
    return a.DecMplsTtl()


def _get_mpls_label(r: Reader) -> Action:
    return standard.get_mpls_setter(r, 13, 6)


def _get_mpls_tc(r: Reader) -> Action:
    return standard.get_mpls_setter(r, 14, 0)


def _get_stack_push(r: Reader) -> Action:
    return nicira.get_stack(r, False)


def _get_stack_pop(r: Reader) -> Action:
    return nicira.get_stack(r, True)


def _get_sample(r: Reader) -> Action:
    return nicira.get_sample(r, 1)


def _get_sample2(r: Reader) -> Action:
    return nicira.get_sample(r, 2)


def _get_sample3(r: Reader) -> Action:
    return nicira.get_sample(r, 3)


def _get_group(r: Reader) -> Action:
    r.skip(2)
    return a.Group(r.u32())


def _get_write_metadata(r: Reader) -> Action:
    if not r.zeros(6):
        raise OfpError("NXBRC_MUST_BE_ZERO", "write_metadata")
    metadata = r.u64()
    return a.WriteMetadata(metadata, r.u64())


def _get_ct_clear(_r: Reader) -> Action:
    return a.CtClear()


def _get_dec_nsh_ttl(_r: Reader) -> Action:
    return a.DecNshTtl()


def _get_debug_slow(_r: Reader) -> Action:
    return a.DebugSlow()


def _get_debug_recirc(_r: Reader) -> Action:
    return a.DebugRecirc()


_NX: Final[dict[int, tuple[int, Callable[[Reader], Action]]]] = {
    1: (16, _get_resubmit),
    2: (16, _get_set_tunnel),
    4: (16, _get_set_queue),
    5: (16, _get_pop_queue),
    6: (-16, _get_reg_move),
    7: (24, set_field.get_reg_load),
    8: (-16, _get_note),
    9: (24, _get_set_tunnel64),
    10: (32, hashing.get_multipath),
    12: (-32, _get_bundle),
    13: (-32, _get_bundle_load),
    14: (16, _get_resubmit_table),
    15: (24, ports.get_output_reg),
    16: (-32, _get_learn),
    17: (16, _get_exit),
    18: (16, _get_dec_ttl),
    19: (16, nicira.get_fin_timeout),
    20: (16, properties.get_controller),
    21: (-16, nicira.get_dec_ttl_ids),
    22: (32, _get_write_metadata),
    23: (16, standard.get_push_mpls),
    24: (16, _get_pop_mpls),
    25: (16, _get_mpls_ttl),
    26: (16, _get_dec_mpls_ttl),
    27: (24, _get_stack_push),
    28: (24, _get_stack_pop),
    29: (24, _get_sample),
    30: (16, _get_mpls_label),
    31: (16, _get_mpls_tc),
    32: (24, ports.get_output_reg2),
    33: (-16, _get_reg_load2),
    34: (16, nicira.get_conjunction),
    36: (-16, ct.get_nat),
    37: (-16, properties.get_controller2),
    38: (32, _get_sample2),
    39: (16, ports.get_output_trunc),
    40: (16, _get_group),
    41: (32, _get_sample3),
    43: (16, _get_ct_clear),
    44: (16, _get_resubmit_table_ct),
    45: (-40, _get_learn2),
    46: (-16, properties.get_encap),
    47: (-16, properties.get_decap),
    48: (16, _get_dec_nsh_ttl),
    49: (-24, nicira.get_check_pkt_larger),
    50: (24, nicira.get_delete_field),
    51: (40, nicira.get_sample4),
}
"""Nicira subtype -> its length (negative: the least that it may be), how to read it."""
_GET_NX: Final = {subtype: known[1] for subtype, known in _NX.items()}
_NX_SIZES: Final[dict[int, int]] = {
    **{subtype: known[0] for subtype, known in _NX.items()}, ct.NXAST_CT: -24, NXAST_CLONE: -16
}
_NX_VERSIONS: Final[dict[int, tuple[int, int]]] = {
    **dict.fromkeys((4, 18, 23, 24, 25, 26, 30, 31, 40), (OFP10, OFP10)),
    **dict.fromkeys((6, 7, 33), (OFP10, OFP14)),
    **dict.fromkeys((46, 47, 48), (OFP13, OFP15)),
}
"""Nicira subtype -> the first and the last version that takes it; the others are for all."""


def enable_debug_actions(enable: bool = True) -> None:
    """Take the actions `debug_slow` and `debug_recirc`, as `ovs-vswitchd --enable-dummy` does, or no more."""
    for subtype, get in (
        (nicira.NXAST_DEBUG_SLOW, _get_debug_slow), (nicira.NXAST_DEBUG_RECIRC, _get_debug_recirc)
    ):  # fmt: skip
        if enable:
            _GET_NX[subtype] = get
            _NX_SIZES[subtype] = 16
        else:
            _NX_SIZES.pop(subtype, None)
