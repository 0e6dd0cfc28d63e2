"""What a datapath can do, found out by really trying, once, when it is opened.

A flow that matches on a field, or has an action, is put with the PROBE flag (the kernel then logs
no complaint) and taken out again; a packet is executed with actions that go nowhere. What the
datapath refuses it can't do. Nothing is ever guessed from a version.
"""

from __future__ import annotations

from typing import Final

from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.dpif.actions import (
    Action,
    Actions,
    AddMpls,
    CheckPktLen,
    Clone,
    Ct,
    CtClear,
    DecTtl,
    Drop,
    Hash,
    Nat,
    Psample,
    Sample,
    SetMasked,
    Trunc,
    Userspace,
)
from vswitch.dpif.ops import Execute, FlowDel, FlowGet, FlowPut
from vswitch.dpif.provider import N_BUCKETS, Dpif
from vswitch.dpif.types import DpifError, PutFlags
from vswitch.flow import key_attr
from vswitch.flow.field import Field
from vswitch.flow.fields import PART_BY_NAME, by_name
from vswitch.flow.flow import Flow
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6, ETH_TYPE_MPLS, ETH_TYPE_VLAN_8021Q

log = Vlog("ofproto_dpif")

MAX_SAMPLE_NESTING: Final = 10
MAX_VLAN_HEADERS: Final = 2
MAX_MPLS_LABELS: Final = 3
N_HASH_ALGORITHMS: Final = 2
_UFID: Final = bytes.fromhex("70726f6265000000e2c9f5b1a7d84663")
_FRAME: Final = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x12\x34" + bytes(46)
_VLAN_CFI: Final = 0x1000
_MPLS_BOS: Final = 0x100


@dataclass
class Support:
    """What a datapath can do. Translation keeps to it."""

    masked_set: bool = False
    tnl_push_pop: bool = False
    ufid: bool = False
    trunc: bool = False
    clone: bool = False
    sample_nesting: int = 0
    ct_eventmask: bool = False
    ct_clear: bool = False
    max_hash_alg: int = 0
    check_pkt_len: bool = False
    ct_timeout: bool = False
    explicit_drop_action: bool = False
    lb_output_action: bool = False
    ct_zero_snat: bool = False
    add_mpls: bool = False
    max_vlan_headers: int = 0
    max_mpls_depth: int = 0
    recirc: bool = False
    ct_state: bool = False
    ct_zone: bool = False
    ct_mark: bool = False
    ct_label: bool = False
    ct_state_nat: bool = False
    ct_orig_tuple: bool = False
    ct_orig_tuple6: bool = False
    nd_ext: bool = False
    variable_length_userdata: bool = False
    dec_ttl: bool = False
    psample: bool = False
    max_meters: int = 0

    def show(self) -> str:
        """The text of `dpif/show-dp-features`."""
        lines: list[str] = []
        for attribute, label in FEATURE_LABELS:
            value = getattr(self, attribute)
            lines.append(f"{label}: {('Yes' if value else 'No') if isinstance(value, bool) else value}\n")
        return "".join(lines)


FEATURE_LABELS: Final = (
    ("masked_set", "Masked set action"),
    ("tnl_push_pop", "Tunnel push pop"),
    ("ufid", "Ufid"),
    ("trunc", "Truncate action"),
    ("clone", "Clone action"),
    ("sample_nesting", "Sample nesting"),
    ("ct_eventmask", "Conntrack eventmask"),
    ("ct_clear", "Conntrack clear"),
    ("max_hash_alg", "Max dp_hash algorithm"),
    ("check_pkt_len", "Check pkt length action"),
    ("ct_timeout", "Conntrack timeout policy"),
    ("explicit_drop_action", "Explicit Drop action"),
    ("lb_output_action", "Optimized Balance TCP mode"),
    ("ct_zero_snat", "Conntrack all-zero IP SNAT"),
    ("add_mpls", "MPLS Label add"),
    ("max_vlan_headers", "Max VLAN headers"),
    ("max_mpls_depth", "Max MPLS depth"),
    ("recirc", "Recirc"),
    ("ct_state", "CT state"),
    ("ct_zone", "CT zone"),
    ("ct_mark", "CT mark"),
    ("ct_label", "CT label"),
    ("ct_state_nat", "CT state NAT"),
    ("ct_orig_tuple", "CT orig tuple"),
    ("ct_orig_tuple6", "CT orig tuple for IPv6"),
    ("nd_ext", "IPv6 ND Extension"),
)
"""The lines of `dpif/show-dp-features`, in order."""


def probe(dpif: Dpif) -> Support:
    """Try everything on `dpif`; leaves no flow behind. DpifError if it doesn't answer at all."""
    s = Support()
    s.recirc = _matches(dpif, recirc_id=1, dp_hash=1)
    s.ufid = _has_ufids(dpif)
    s.max_vlan_headers = _vlan_headers(dpif)
    s.max_mpls_depth = _mpls_depth(dpif)
    s.masked_set = _executes(
        dpif, SetMasked(key_attr.ETHERNET, bytes(12), b"\xff" + bytes(11))
    )
    s.trunc = _executes(dpif, Trunc(14))
    s.clone = _executes(dpif, Clone((CtClear(),))) or _executes(dpif, Clone(()))
    s.variable_length_userdata = _executes(dpif, Userspace(0, bytes(5)))
    s.sample_nesting = _sample_nesting(dpif)
    s.max_hash_alg = _hash_algorithms(dpif)
    s.check_pkt_len = _acts(dpif, CheckPktLen(100, (), ()))
    s.explicit_drop_action = _acts(dpif, Drop(0))
    s.lb_output_action = _has_bonds(dpif)
    s.add_mpls = _acts(dpif, AddMpls(_MPLS_BOS, ETH_TYPE_MPLS, 1), dl_type=ETH_TYPE_IP)
    s.dec_ttl = _acts(dpif, DecTtl(()), dl_type=ETH_TYPE_IP)
    s.psample = _acts(dpif, Psample(0, bytes(8)))
    s.ct_clear = _acts(dpif, CtClear())
    s.ct_eventmask = _acts(dpif, Ct(commit=True, eventmask=0x7), dl_type=ETH_TYPE_IP)
    s.ct_timeout = _acts(dpif, Ct(commit=True, timeout="ovs_test_tp"), dl_type=ETH_TYPE_IP)
    s.ct_zero_snat = _acts(
        dpif, Ct(commit=True, nat=Nat("src", bytes(4), bytes(4))), dl_type=ETH_TYPE_IP
    )
    s.ct_state = _matches(dpif, ct_state=1)
    s.ct_zone = _matches(dpif, ct_zone=1)
    s.ct_mark = _matches(dpif, ct_mark=1)
    s.ct_label = _matches(dpif, ct_label=1)
    s.ct_state_nat = _matches(dpif, ct_state=0x81)
    s.ct_orig_tuple = _matches(
        dpif, dl_type=ETH_TYPE_IP, nw_proto=17, ct_state=1, ct_nw_proto=17, ct_nw_src=1, ct_nw_dst=1,
        ct_tp_src=1, ct_tp_dst=1,
    )  # fmt: skip
    s.ct_orig_tuple6 = _matches(
        dpif, dl_type=ETH_TYPE_IPV6, nw_proto=17, ct_state=1, ct_nw_proto=17, ct_ipv6_src=1, ct_ipv6_dst=1,
        ct_tp_src=1, ct_tp_dst=1,
    )  # fmt: skip
    s.nd_ext = _matches(
        dpif, dl_type=ETH_TYPE_IPV6, nw_proto=58, icmpv6_type=135, nd_target=1, nd_reserved=1,
        nd_options_type=1,
    )  # fmt: skip
    try:
        s.max_meters = dpif.meter_features().max_meters
    except DpifError:
        s.max_meters = 0
    _tell(dpif, s)
    return s


_NOWHERE: Final = 0xFFFE
"""The highest port number there can be, which no datapath has got to."""


TOLD: Final = (
    ("recirc", "recirculation"),
    ("max_vlan_headers", "VLAN header stack length probed as"),
    ("max_mpls_depth", "MPLS label stack length probed as"),
    ("trunc", "truncate action"),
    ("ufid", "unique flow ids"),
    ("clone", "clone action"),
    ("sample_nesting", "Max sample nesting level probed as"),
    ("ct_eventmask", "eventmask in conntrack action"),
    ("ct_clear", "ct_clear action"),
    ("max_hash_alg", "Max dp_hash algorithm probed to be"),
    ("check_pkt_len", "check_pkt_len action"),
    ("ct_timeout", "timeout policy in conntrack action"),
    ("ct_zero_snat", "ct_zero_snat"),
    ("add_mpls", "add_mpls action"),
    ("ct_state", "ct_state"),
    ("ct_zone", "ct_zone"),
    ("ct_mark", "ct_mark"),
    ("ct_label", "ct_label"),
    ("ct_state_nat", "ct_state_nat"),
    ("ct_orig_tuple", "ct_orig_tuple"),
    ("ct_orig_tuple6", "ct_orig_tuple6"),
    ("nd_ext", "IPv6 ND Extensions"),
)
"""What is logged of a datapath that is opened, in Open vSwitch's order and words."""


def _tell(dpif: Dpif, support: Support) -> None:
    name = f"{dpif.type}@{dpif.name}"
    for attribute, words in TOLD:
        value = getattr(support, attribute)
        if isinstance(value, bool):
            log.info("%s: Datapath %s %s", name, "supports" if value else "does not support", words)
        else:
            log.info("%s: %s %d", name, words, value)


def _field(name: str) -> Field:
    """The match field `name`, or the part of a flow that has that name but is no match field."""
    return PART_BY_NAME.get(name) or by_name(name)


def _key(fields: dict[str, int]) -> tuple[Flow, Flow]:
    """A flow with `fields` (and what every flow has), and a mask over just those."""
    key, mask = Flow(), Flow()
    everywhere = {"in_port": 1, "recirc_id": 0, "packet_type": 0, "dl_type": 0x1234, "vlan_tci": 0}
    if fields.get("dl_type") in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        everywhere |= {"nw_frag": 0}
    for name, value in {**everywhere, **fields}.items():
        field = _field(name)
        key.set(field, value)
        mask.set_ones(field)
    return key, mask


def _takes(dpif: Dpif, key: Flow, mask: Flow, actions: Actions, wanted: Flow | None = None) -> bool:
    """Whether the datapath takes the flow, which is gone again afterwards.

    With `wanted`, the flow as it is read back must still match on those bits: some datapaths
    take a field that they don't know and forget it.
    """
    # MODIFY too: a probe may be left from a process that was killed in the midst of this.
    put = FlowPut(key, mask, actions, _UFID, PutFlags.CREATE | PutFlags.MODIFY | PutFlags.PROBE)
    dpif.operate([put])
    if put.error:
        return False
    get = FlowGet(key, _UFID)
    dpif.operate([get])
    dpif.operate([FlowDel(key, _UFID)])
    if wanted is None:
        return True
    return get.error == 0 and get.flow is not None and get.flow.mask.masked(wanted) == wanted


def _matches(dpif: Dpif, **fields: int) -> bool:
    key, mask = _key(fields)
    wanted = Flow()
    for name in fields:
        wanted.set_ones(_field(name))
    return _takes(dpif, key, mask, (), wanted)


def _acts(dpif: Dpif, *actions: Action, **fields: int) -> bool:
    key, mask = _key(fields)
    return _takes(dpif, key, mask, actions)


def _executes(dpif: Dpif, *actions: Action) -> bool:
    key, _ = _key({})
    execute = Execute(_FRAME, key, actions, probe=True)
    dpif.operate([execute])
    return execute.error == 0


def _has_ufids(dpif: Dpif) -> bool:
    """A flow put under a name must be found under it, and say so."""
    key, mask = _key({})
    put = FlowPut(key, mask, (), _UFID, PutFlags.CREATE | PutFlags.MODIFY | PutFlags.PROBE)
    get = FlowGet(key, _UFID)
    dpif.operate([put])
    if put.error:
        return False
    dpif.operate([get])
    dpif.operate([FlowDel(key, _UFID)])
    return get.error == 0 and get.flow is not None and get.flow.ufid == _UFID


def _vlan_headers(dpif: Dpif) -> int:
    tags = (("vlan_tci", "vlan_tpid"), ("vlan_tci1", "vlan_tpid1"))
    for n in range(MAX_VLAN_HEADERS, 0, -1):
        fields: dict[str, int] = {}
        for tci, tpid in tags[:n]:
            fields |= {tci: _VLAN_CFI | 1, tpid: ETH_TYPE_VLAN_8021Q}
        if _matches(dpif, **fields):
            return n
    return 0


def _mpls_depth(dpif: Dpif) -> int:
    entries = ("mpls_lse", "mpls_lse1", "mpls_lse2")
    for n in range(MAX_MPLS_LABELS, 0, -1):
        fields = {name: _MPLS_BOS if i == n - 1 else 0 for i, name in enumerate(entries[:n])}
        if _matches(dpif, dl_type=ETH_TYPE_MPLS, **fields):
            return n
    return 0


def _sample_nesting(dpif: Dpif) -> int:
    for n in range(MAX_SAMPLE_NESTING, 0, -1):
        actions: Actions = ()
        for _ in range(n):
            actions = (Sample(0, actions),)
        if _acts(dpif, *actions):
            return n
    return 0


def _has_bonds(dpif: Dpif) -> bool:
    bond_id = 0xFFFFFFFF
    try:
        dpif.bond_set(bond_id, [_NOWHERE] * N_BUCKETS)
        dpif.bond_del(bond_id)
    except DpifError:
        return False
    return True


def _hash_algorithms(dpif: Dpif) -> int:
    """The highest hash algorithm that the datapath computes (0 is L4, 1 symmetric L4)."""
    for algorithm in range(N_HASH_ALGORITHMS - 1, 0, -1):
        if _executes(dpif, Hash(algorithm, 0)):
            return algorithm
    return 0
