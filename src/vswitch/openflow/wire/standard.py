"""OpenFlow's own actions, without those that have a module of their own. Compiled by mypyc.

`get10` and `get11` read what follows type and length; an action that a version has no number for is
written as a set_field (1.2 and later) or as a Nicira extension (1.0).
"""

from __future__ import annotations

from typing import Final

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.openflow import actions as a
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire import ports
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.nicira import put_bare, put_dec_ttl_ids, put_set_tunnel, put_value
from vswitch.openflow.wire.put import Put
from vswitch.openflow.wire.set_field import (
    get_reg_move,
    get_set_field,
    put_oxm_set_field,
    put_plain,
    put_reg_load,
    put_vlan_pcp,
    put_vlan_vid,
)
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP15
from vswitch.packet.numbers import (
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
)

SIZES10: Final = (8, 8, 8, 8, 16, 16, 8, 8, 8, 8, 8, 16)
"""OpenFlow 1.0 action type -> its length."""
SIZES11: Final[dict[int, tuple[int, int, int]]] = {
    0: (16, OFP11, OFP15),
    3: (16, OFP11, OFP15),
    4: (16, OFP11, OFP15),
    **dict.fromkeys((1, 2, 5, 6, 7, 8, 9, 10, *range(13, 25)), (8, OFP11, OFP15)),
    25: (0, OFP12, OFP15),
    28: (0, OFP15, OFP15),
    29: (8, OFP15, OFP15),
}
"""Action type of OpenFlow 1.1 and later -> its length (0: it varies), first and last version.

The setters that 1.2 replaced by set_field are still read, as Open vSwitch does.
"""

PUSH_VLAN: Final = 17
NX_MPLS: Final = {"push": 23, "pop": 24, "ttl": 25, "dec": 26, "label": 30, "tc": 31}
NXAST_DEC_TTL: Final = 18
NXAST_GROUP: Final = 40

_IPV4_SRC: Final = by_name("ip_src")
_IPV4_DST: Final = by_name("ip_dst")
_ETH_SRC: Final = by_name("eth_src")
_ETH_DST: Final = by_name("eth_dst")
_IP_DSCP: Final = by_name("ip_dscp")
_NW_ECN: Final = by_name("nw_ecn")
_NW_TTL: Final = by_name("nw_ttl")
_MPLS_LABEL: Final = by_name("mpls_label")
_MPLS_TC: Final = by_name("mpls_tc")
_TUN_ID: Final = by_name("tun_id")
_L4_SRC: Final = {6: by_name("tcp_src"), 17: by_name("udp_src"), 132: by_name("sctp_src")}
_L4_DST: Final = {6: by_name("tcp_dst"), 17: by_name("udp_dst"), 132: by_name("sctp_dst")}


def _put_either(w: Writer, ctx: Put, type10: int, type11: int, value: int, size: int,
                field: Field | None) -> None:
    """A value by its own action in 1.0 and 1.1, by set_field later, if it is known of which field."""
    version = ctx.version
    if version == OFP10:
        put_plain(w, type10, value, size)
    elif version == OFP11 or field is None:
        put_plain(w, type11, value, size)
    else:
        put_oxm_set_field(w, field, value, None, version)


def put_set_eth_src(w: Writer, action: a.SetEthSrc, ctx: Put) -> None:
    """mod_dl_src."""
    _put_either(w, ctx, 4, 3, action.mac, 6, _ETH_SRC)


def put_set_eth_dst(w: Writer, action: a.SetEthDst, ctx: Put) -> None:
    """mod_dl_dst."""
    _put_either(w, ctx, 5, 4, action.mac, 6, _ETH_DST)


def put_set_ipv4_src(w: Writer, action: a.SetIpv4Src, ctx: Put) -> None:
    """mod_nw_src."""
    _put_either(w, ctx, 6, 5, action.ipv4, 4, _IPV4_SRC)


def put_set_ipv4_dst(w: Writer, action: a.SetIpv4Dst, ctx: Put) -> None:
    """mod_nw_dst."""
    _put_either(w, ctx, 7, 6, action.ipv4, 4, _IPV4_DST)


def put_set_ip_dscp(w: Writer, action: a.SetIpDscp, ctx: Put) -> None:
    """mod_nw_tos."""
    later = ctx.version >= OFP12
    _put_either(w, ctx, 8, 7, action.tos >> 2 if later else action.tos, 1, _IP_DSCP)


def put_set_ip_ecn(w: Writer, action: a.SetIpEcn, ctx: Put) -> None:
    """mod_nw_ecn."""
    if ctx.version == OFP10:
        put_reg_load(w, _NW_ECN, 0, 2, action.ecn)
    else:
        _put_either(w, ctx, 0, 8, action.ecn, 1, _NW_ECN)


def put_set_ip_ttl(w: Writer, action: a.SetIpTtl, ctx: Put) -> None:
    """mod_nw_ttl."""
    if ctx.version == OFP10:
        put_reg_load(w, _NW_TTL, 0, 8, action.ttl)
    else:
        put_plain(w, 23, action.ttl, 1)


def put_set_l4_src(w: Writer, action: a.SetL4SrcPort, ctx: Put) -> None:
    """mod_tp_src, from 1.2 on set_field of the protocol that the flow has, if it says one."""
    _put_either(w, ctx, 9, 9, action.port, 2, _L4_SRC.get(ctx.nw_proto))


def put_set_l4_dst(w: Writer, action: a.SetL4DstPort, ctx: Put) -> None:
    """mod_tp_dst, from 1.2 on set_field of the protocol that the flow has, if it says one."""
    _put_either(w, ctx, 10, 10, action.port, 2, _L4_DST.get(ctx.nw_proto))


def _push_tag(w: Writer, push: bool, ctx: Put) -> None:
    """From 1.1 on a tag that an action adds where there is none must be pushed first."""
    if push and not ctx.has_vlan and ctx.version >= OFP11:
        put_plain(w, PUSH_VLAN, ETH_TYPE_VLAN_8021Q, 2)
    ctx.has_vlan = True


def put_set_vlan_vid(w: Writer, action: a.SetVlanVid, ctx: Put) -> None:
    """set_vlan_vid, mod_vlan_vid."""
    _push_tag(w, action.push, ctx)
    put_vlan_vid(w, action.vid, ctx.version)


def put_set_vlan_pcp(w: Writer, action: a.SetVlanPcp, ctx: Put) -> None:
    """set_vlan_pcp, mod_vlan_pcp."""
    _push_tag(w, action.push, ctx)
    put_vlan_pcp(w, action.pcp, ctx.version)


def put_strip_vlan(w: Writer, _action: a.StripVlan, ctx: Put) -> None:
    """strip_vlan, pop_vlan."""
    ctx.has_vlan = False
    put_plain(w, 3 if ctx.version == OFP10 else 18, 0, 2)


def put_push_vlan(w: Writer, action: a.PushVlan, ctx: Put) -> None:
    """push_vlan; in 1.0 setting the tag that follows does it."""
    ctx.has_vlan = True
    if ctx.version >= OFP11:
        put_plain(w, PUSH_VLAN, action.ethertype, 2)


def put_push_mpls(w: Writer, action: a.PushMpls, ctx: Put) -> None:
    """push_mpls."""
    if ctx.version == OFP10:
        put_value(w, NX_MPLS["push"], action.ethertype, 2)
    else:
        put_plain(w, 19, action.ethertype, 2)


def put_pop_mpls(w: Writer, action: a.PopMpls, ctx: Put) -> None:
    """pop_mpls."""
    if ctx.version == OFP10:
        put_value(w, NX_MPLS["pop"], action.ethertype, 2)
    else:
        put_plain(w, 20, action.ethertype, 2)


def put_set_mpls_label(w: Writer, action: a.SetMplsLabel, ctx: Put) -> None:
    """set_mpls_label."""
    if ctx.version == OFP10:
        put_value(w, NX_MPLS["label"], action.label, 6)
    else:
        _put_either(w, ctx, 0, 13, action.label, 4, _MPLS_LABEL)


def put_set_mpls_tc(w: Writer, action: a.SetMplsTc, ctx: Put) -> None:
    """set_mpls_tc."""
    if ctx.version == OFP10:
        put_value(w, NX_MPLS["tc"], action.tc, 1)
    else:
        _put_either(w, ctx, 0, 14, action.tc, 1, _MPLS_TC)


def put_set_mpls_ttl(w: Writer, action: a.SetMplsTtl, ctx: Put) -> None:
    """set_mpls_ttl."""
    if ctx.version == OFP10:
        put_value(w, NX_MPLS["ttl"], action.ttl, 1)
    else:
        put_plain(w, 15, action.ttl, 1)


def put_dec_mpls_ttl(w: Writer, _action: a.DecMplsTtl, ctx: Put) -> None:
    """dec_mpls_ttl."""
    if ctx.version == OFP10:
        put_bare(w, NX_MPLS["dec"])
    else:
        put_plain(w, 16, 0, 2)


def put_dec_ttl(w: Writer, action: a.DecTtl, ctx: Put) -> None:
    """dec_ttl."""
    if action.ids_given:
        put_dec_ttl_ids(w, action, ctx)
    elif ctx.version == OFP10:
        put_bare(w, NXAST_DEC_TTL)
    else:
        put_plain(w, 24, 0, 2)


def put_group(w: Writer, action: a.Group, ctx: Put) -> None:
    """group."""
    if ctx.version == OFP10:
        put_value(w, NXAST_GROUP, action.group_id, 6)
    else:
        put_plain(w, 22, action.group_id, 4)


def put_tunnel(w: Writer, action: a.SetTunnel, ctx: Put) -> None:
    """set_tunnel, set_tunnel64."""
    if ctx.version >= OFP12:
        put_oxm_set_field(w, _TUN_ID, action.tun_id, None, ctx.version)
    else:
        put_set_tunnel(w, action, ctx)


def get10(r: Reader, type_: int) -> a.Action:
    """An OpenFlow 1.0 action after its length; its length is the right one."""
    if type_ == 0:
        return ports.get_output(r, OFP10)
    if type_ == 1:
        return _set_vlan_vid(r.u16(), True)
    if type_ == 2:
        return _set_vlan_pcp(r.u8(), True)
    if type_ == 3:
        return a.StripVlan()
    if type_ == 11:
        return ports.get_enqueue(r)
    return _get_legacy(r, type_ if type_ < 9 else type_ + 1)


def _set_vlan_vid(vid: int, push: bool) -> a.Action:
    if vid > 0xFFF:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"VLAN {vid}")
    return a.SetVlanVid(vid, push)


def _set_vlan_pcp(pcp: int, push: bool) -> a.Action:
    if pcp > 7:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"VLAN priority {pcp}")
    return a.SetVlanPcp(pcp, push)


def _get_legacy(r: Reader, type_: int) -> a.Action:
    """The setters of addresses and ports, by their 1.1 number plus one."""
    if type_ <= 5:
        mac = r.uint(6)
        return a.SetEthSrc(mac) if type_ == 4 else a.SetEthDst(mac)
    if type_ == 6:
        return a.SetIpv4Src(r.u32())
    if type_ == 7:
        return a.SetIpv4Dst(r.u32())
    if type_ == 8:
        tos: int = r.u8()
        if tos & 3:
            raise OfpError("OFPBAC_BAD_ARGUMENT", f"TOS {tos}")
        return a.SetIpDscp(tos)
    if type_ == 9:
        ecn: int = r.u8()
        if ecn > 3:
            raise OfpError("OFPBAC_BAD_ARGUMENT", f"ECN {ecn}")
        return a.SetIpEcn(ecn)
    port: int = r.u16()
    return a.SetL4SrcPort(port) if type_ == 10 else a.SetL4DstPort(port)


def get11(r: Reader, type_: int, version: int) -> a.Action:
    """An action of OpenFlow 1.1 or later after its length; its length is the right one."""
    if type_ == 0:
        return ports.get_output(r, version)
    if type_ == 25:
        return get_set_field(r, may_mask=version >= OFP15)
    if type_ == 1:
        return _set_vlan_vid(r.u16(), False)
    if type_ == 2:
        return _set_vlan_pcp(r.u8(), False)
    if type_ <= 10:
        return _get_legacy(r, type_ + 1)
    if type_ <= 16:
        return get_mpls_setter(r, type_, 4)
    if type_ == PUSH_VLAN:
        ethertype: int = r.u16()
        if ethertype not in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD):
            raise OfpError("OFPBAC_BAD_ARGUMENT", f"push_vlan {ethertype:#x}")
        return a.PushVlan(ethertype)
    if type_ == 18:
        return a.StripVlan(pop=True)
    if type_ == 19:
        return get_push_mpls(r)
    if type_ == 20:
        return a.PopMpls(r.u16())
    if type_ == 21:
        return a.SetQueue(r.u32())
    if type_ == 22:
        return a.Group(r.u32())
    if type_ == 23:
        return a.SetIpTtl(r.u8())
    if type_ == 24:
        return a.DecTtl()
    if type_ == 28:
        return get_reg_move(r, 2)
    return a.Meter(r.u32())


def get_push_mpls(r: Reader) -> a.Action:
    """push_mpls."""
    ethertype: int = r.u16()
    if ethertype not in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"push_mpls {ethertype:#x}")
    return a.PushMpls(ethertype)


def get_mpls_setter(r: Reader, type_: int, label_size: int) -> a.Action:
    """13 set_mpls_label, 14 set_mpls_tc, 15 set_mpls_ttl, 16 dec_mpls_ttl."""
    if type_ == 13:
        label = r.uint(label_size) & 0xFFFFFFFF
        return a.SetMplsLabel(label)
    if type_ == 14:
        tc: int = r.u8()
        if tc > 7:
            raise OfpError("OFPBAC_BAD_ARGUMENT", f"MPLS TC {tc}")
        return a.SetMplsTc(tc)
    if type_ == 15:
        return a.SetMplsTtl(r.u8())
    return a.DecMplsTtl()
