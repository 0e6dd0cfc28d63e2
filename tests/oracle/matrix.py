"""Every action in every place that can hold it, over every kind of match, in every version of OpenFlow.

Requests are made from parsed text without the checks that text gets, and encoded: the same bytes go to the
real switch and to ours. An action that a version has no word for is written in others, as ovs-ofctl does,
or left out where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.oracle.wired import VERSIONS, encoded
from vswitch.flow.fields import FIELDS
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow import actions as a
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPP_ANY
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages.packet import PacketOut
from vswitch.openflow.wire.version import OFP10, OFP11, OFP13, OFP15

ACTIONS: Final = (  # noqa: SIM905
    """
    output:1 output:LOCAL output:IN_PORT output:TABLE output:ALL output:FLOOD output:NORMAL
    output:CONTROLLER output:65270 output:reg0[0..15] output:in_port output(port=2,max_len=100)
    controller(max_len=77,reason=action) controller(pause) controller(userdata=01.02)
    enqueue:2:1 bundle(eth_src,0,hrw,ofport,members:1,2)
    bundle_load(symmetric_l4,0,hrw,ofport,reg0[0..15],members:1,2) group:1 group:77 mod_vlan_vid:5
    mod_vlan_pcp:3 strip_vlan push_vlan:0x8100 push_vlan:0x88a8 push_mpls:0x8847 push_mpls:0x8848
    pop_mpls:0x0800 pop_mpls:0x8847 pop_mpls:0x86dd encap(nsh(md_type=1)) encap(ethernet) encap(mpls)
    encap(mpls_mc) decap() decap(packet_type(ns=1,type=0x800)) mod_dl_src:02:00:00:00:00:77
    mod_dl_dst:02:00:00:00:00:78 mod_nw_src:10.9.9.9 mod_nw_dst:10.9.9.8 mod_nw_tos:32 mod_nw_ecn:1
    mod_nw_ttl:7 mod_tp_src:99 mod_tp_dst:98 dec_ttl dec_ttl(1,2) set_mpls_label:55 set_mpls_tc:3
    set_mpls_ttl:9 dec_mpls_ttl dec_nsh_ttl set_field:10.1.1.1->ip_src
    set_field:10.1.1.0/255.255.255.0->ip_dst set_field:4103->vlan_vid set_field:3->vlan_pcp
    set_field:0x1007->vlan_tci set_field:02:00:00:00:00:55->eth_dst set_field:2001:db8::9->ipv6_src
    set_field:7->ipv6_label set_field:80->tcp_dst set_field:53->udp_src set_field:5->sctp_dst
    set_field:8->icmp_type set_field:135->icmpv6_type set_field:2->arp_op set_field:10.3.3.3->arp_tpa
    set_field:fe80::7->nd_target set_field:02:00:00:00:00:66->nd_sll set_field:1->nw_ecn
    set_field:8->ip_dscp set_field:5->nw_ttl set_field:20->mpls_label set_field:1->mpls_tc
    set_field:9->nsh_spi set_field:5->tun_id set_field:7->metadata set_field:9.9.9.9->tun_dst
    set_field:5->reg3 set_field:0x5/0xf->xreg1 set_field:7->pkt_mark set_field:3->in_port
    set_field:5->ct_mark load:5->reg0[0..7] load:1->NXM_OF_IP_SRC[] load:0x1005->vlan_tci[]
    load:3->NXM_OF_VLAN_TCI[13..15] move:reg0[]->reg1[] move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]
    move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[] move:in_port[]->reg2[0..15]
    move:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[] push:reg0[] push:NXM_OF_IP_SRC[] pop:reg1[]
    pop:NXM_OF_TCP_DST[] set_tunnel:5 set_tunnel64:0x500000001 set_queue:3 pop_queue
    set_field:1->tun_flags multipath(symmetric_l4,0,modulo_n,4,0,reg1[0..15])
    multipath(nw_src,0,hrw,4,0,NXM_OF_IP_DST[0..15]) resubmit(,3) resubmit(2,3) resubmit:2
    resubmit(,3,ct) goto_table:3 goto_table:0 write_metadata:5/0xff clear_actions exit drop
    note:01.02.03 fin_timeout(idle_timeout=5) fin_timeout(idle_timeout=5,hard_timeout=9)
    sample(probability=100,collector_set_id=1) sample(probability=100,sampling_port=1,egress)
    learn(table=9,eth_dst=eth_src,output:in_port) learn(table=9,dl_type=0x800,nw_dst=nw_src)
    learn(table=9,NXM_OF_IP_DST[]=NXM_OF_IP_SRC[])
    learn(table=8,limit=3,delete_learned,vlan_tci=vlan_tci) learn(table=9,load:5->reg0[])
    conjunction(1,1/2) conjunction(7,2/3) ct ct(commit) ct(table=2,zone=5) ct(commit,zone=reg0[0..15])
    ct(commit,nat(src=10.0.0.9)) ct(nat) ct(commit,alg=ftp) ct(commit,nat(dst=fe80::9))
    ct(commit,exec(set_field:1->ct_mark)) ct(commit,exec(set_field:1->reg0)) ct(force,commit)
    ct(commit,exec(move:reg0[]->ct_label[0..31])) ct_clear nat(src=1.1.1.1)
    check_pkt_larger(100)->reg0[0] meter:1 meter:77 clone(dec_ttl,output:2) clone(output:2,resubmit(,3))
    clone(set_field:10.1.1.1->ip_src)
    delete_field:tun_metadata0 set_field:1->tun_metadata0
    write_actions(output:2) debug_recirc debug_slow
    """
).split()
"""Actions and instructions of ovs-actions(7), with arguments of each kind."""
MATCHES: Final = (
    "", "in_port=1", "ip", "tcp", "udp,dl_vlan=5", "arp", "ipv6", "icmp6,icmp_type=135,icmp_code=0",
    "mpls", "sctp", "dl_vlan=5", "dl_type=0x894f", "tcp,ct_state=+trk+new", "conj_id=1,ip",
    "tcp6,nw_frag=later", "icmp", "udp,tun_id=5", "reg0=1,metadata=7",
)  # fmt: skip
"""Kinds of packets. Each flow has an Ethernet source of its own besides."""
BEFORE: Final = ("", "ip", "ipv6", "tcp", "arp", "mpls", "dl_vlan=5", "icmp6,icmp_type=136,icmp_code=0")
"""What a match says before the field that it is about."""


NOT_MATCHED: Final = ("tun_metadata", "tun_gtpu", "tun_erspan")
"""Fields of matches that are left out: options need a map, and of the others' masks the real switch loses
bits when it lists flows."""


@dataclass(frozen=True)
class Case:
    """One request. `shows` is a packet on which what it does can be seen, if it is a flow."""

    text: str
    data: bytes
    shows: str = ""


@dataclass
class Requests:
    """The requests of one version and place, numbered from 1 on."""

    version: int
    place: str
    cases: list[Case] = field(default_factory=list)

    def add(self, text: str, body: Any, shows: str = "") -> None:
        """One more, if the version has words for it."""
        try:
            data = encoded(body, self.version)
        except (OfpError, ValueError, KeyError):
            return
        xid = len(self.cases) + 1
        self.cases.append(Case(text, data[:4] + xid.to_bytes(4, "big") + data[8:], shows))


PACKETS: Final = {
    "tcp": bytes.fromhex("0200000000020200000000010800450000280001000040060000c0a80001c0a8000200010002"
                         "00000000000000005002000000000000"),
    "arp": bytes.fromhex("0200000000020200000000010806000108000604000102000000000ac0a80001"
                         "000000000000c0a80002" + "00" * 18),
    "vlan": bytes.fromhex("020000000002020000000001810000059999" + "00" * 46),
}  # fmt: skip
PLACES: Final = (
    "flow", "write_actions", "clone", "ct", "meter", "conjunction", "learn", "bundle", "group",
    "inserted bucket", "packet-out", "bundled group", "bundled packet-out",
)  # fmt: skip


def actions(place: str, text: str) -> tuple[a.Action, ...]:
    """`text` in its place. FlowSyntaxError: text has no way to say it."""
    inner = parse_actions(text)
    if place == "write_actions":
        return (a.WriteActions(inner),)
    if place == "clone":
        return (a.Clone(inner), a.Output(2))
    if place == "ct":
        return (a.Ct(True, False, 0, None, None, 0, inner),)
    if place == "meter":
        return (a.Meter(1), *inner)
    if place == "conjunction":
        return (*parse_actions("conjunction(1,1/2)"), *inner)
    if place == "learn":
        return (*parse_actions("learn(table=9,eth_dst=eth_src,output:in_port)"), *inner, a.Output(2))
    return inner


def _own(match: str, number: int) -> tuple[str, str]:
    """`match` for one Ethernet source alone, and a packet that it matches."""
    source = "dl_src=" + (0x02 << 40 | number).to_bytes(6, "big").hex(":")
    text = f"{match},{source}" if match else source
    parts = [p for p in match.split(",") if p and not p.startswith(("in_port", "conj_id"))]
    if match == "dl_type=0x894f":
        # Of another type's metadata the real switch writes over what it doesn't know.
        parts.append("nsh_mdtype=1")
    return text, ",".join(["in_port=1", *parts, source])


BUNDLE: Final = 5
GROUP: Final = 1000
"""The first of the groups; the one before is there when the requests come, without buckets."""


def _body(place: str, acts: tuple[a.Action, ...], number: int, packet: bytes) -> Any:
    """A group or a packet-out with `acts`."""
    bucket = g.Bucket(acts, 0, OFPP_ANY, g.OFPG_ANY, number if place == "inserted bucket" else 0)
    if place == "inserted bucket":
        return g.GroupMod(g.OFPGC_INSERT_BUCKET, g.OFPGT_ALL, GROUP - 1, (bucket,), g.OFPG_BUCKET_LAST)
    if place.endswith("group"):
        return g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, GROUP + number, (bucket,))
    return PacketOut(packet, acts, parse_match("in_port=1"))


def _bundled(out: Requests, body: Any) -> b.BundleAdd:
    """`body` within a bundle, with the number of the message around it."""
    inner = encoded(body, out.version)
    return b.BundleAdd(BUNDLE, inner[:4] + (len(out.cases) + 1).to_bytes(4, "big") + inner[8:], 3)


def learned(version: int) -> Requests:
    """Flows that learn a match on each field from the packet's, and load it, of each kind of packet."""
    out = Requests(version, "learned")
    for each in FIELDS:
        if not each.oxm or each.name.startswith(NOT_MATCHED):
            continue
        n = min(each.n_bits, 32) - 1
        for words in (f"{each.name}[]", f"{each.name}[0..{n}]=reg0[0..{n}]", f"load:1->{each.name}[0]",
                      f"load:{each.name}[0..{n}]->reg1[0..{n}]"):
            if words.startswith("load:1->") and not each.writable:
                continue  # both refuse, each for another reason
            for before in BEFORE:
                try:
                    acts = parse_actions(f"learn(table=9,{words})")
                    own, shows = _own(before, len(out.cases) + 1)
                    out.add(f"{before}: {words}", FlowMod(parse_match(own), priority=7, actions=acts), shows)
                except FlowSyntaxError:
                    continue
    return out


def requests(version: int, place: str, matches: tuple[str, ...], words: list[str]) -> Requests:
    """All that version and place can hold, over `matches`."""
    out = Requests(version, place)
    for word in words:
        if "tun_metadata" in word and place in ("write_actions", "ct", "conjunction"):
            continue  # two errors at once: the real switch finds the unmapped option first
        if "userdata" in word and version == OFP10:
            continue  # the real switch pads it so that nobody can read its list of flows
        try:
            acts = actions(place, word)
        except FlowSyntaxError:
            continue
        if place.endswith(("group", "bucket", "packet-out")):
            packets = PACKETS if place.endswith("packet-out") else {"": b""}
            for kind, packet in packets.items():
                try:
                    body = _body(place, acts, len(out.cases), packet)
                    body = _bundled(out, body) if place.startswith("bundled") else body
                except (OfpError, ValueError, KeyError):
                    continue
                out.add(f"{kind} {word}".strip(), body)
            continue
        for match in matches:
            own, shows = _own(match, len(out.cases) + 1)
            if place == "ct" and word.startswith("conjunction"):
                shows = ""  # a trace of the real switch warns twice
            if place == "clone" and word.startswith("encap"):
                shows = ""  # the real switch leaves the header around the packet, and dies of the next one
            fm = FlowMod(parse_match(own), priority=7, actions=acts)
            if place == "bundle":
                try:
                    out.add(f"{match}: {word}", _bundled(out, fm), shows)
                except (OfpError, ValueError, KeyError):
                    continue
            else:
                out.add(f"{match}: {word}", fm, shows)
    return out


def field_matches(version: int) -> Requests:
    """Flows that match on each field: with and without its prerequisites, whole and (if it can) in part."""
    out = Requests(version, "match")
    for each in FIELDS:
        if not each.oxm or each.name.startswith(NOT_MATCHED):
            continue
        for value, mask in ((1, each.ones), (1, 1), (each.ones, each.ones), (0, each.ones)):
            if mask != each.ones and not each.maskable:
                continue
            for before in BEFORE:
                if version == OFP11 and each.name in ("vlan_vid", "vlan_tci") and not value & mask & 0x1000:
                    continue  # the real switch lists it with a priority that lacks its prerequisite
                match: Match = parse_match(before)
                match.set(each, value, None if mask == each.ones else mask)
                fm = FlowMod(match, priority=len(out.cases) + 1, actions=(a.Output(2),))
                out.add(f"{before}: {each.name}={value:#x}/{mask:#x}", fm)
    return out


def versions_of(place: str) -> Iterator[int]:
    """The versions that have such a place."""
    for version in VERSIONS.values():
        if place == "write_actions" and version == OFP10:
            continue
        if place.startswith(("meter", "bundle")) and version < OFP13:
            continue
        if place == "inserted bucket" and version < OFP15:
            continue
        yield version
