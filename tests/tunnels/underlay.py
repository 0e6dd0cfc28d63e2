"""The same two bridges on both sides: an underlay with addresses, and one with tunnels of every kind."""

from __future__ import annotations

from collections.abc import Iterable

from tests.bridge.pair import Side

PEER4, PEER6, PEER_MAC = "1.1.2.92", "2001:cafe::92", "f8:bc:12:44:34:b6"

UNDERLAY = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure other-config:hwaddr=aa:55:aa:55:00:00 "
    "-- add-port br0 p0 -- set interface p0 type=dummy ofport_request=1 "
    "-- add-br int-br -- set bridge int-br datapath_type=dummy fail-mode=secure "
    "other-config:hwaddr=aa:55:aa:66:00:00 protocols=[OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15]"
)

TUNNELS = {
    1: "vxlan remote_ip=1.1.2.92 key=123",
    2: "vxlan remote_ip=1.1.2.92 key=flow csum=true",
    3: "vxlan remote_ip=1.1.2.92 key=7 dst_port=4790 exts=gbp",
    4: "vxlan remote_ip=1.1.2.92 key=9 dst_port=4791 exts=gpe packet_type=ptap",
    5: "vxlan remote_ip=2001:cafe::92 key=10 tos=inherit ttl=inherit",
    6: "geneve remote_ip=flow key=flow",
    7: "geneve remote_ip=1.1.2.92 in_key=5 out_key=6 df_default=false ttl=9 tos=0x48",
    8: "geneve remote_ip=2001:cafe::92 key=11 csum=true",
    9: "gre remote_ip=1.1.2.92",
    10: "gre remote_ip=1.1.2.92 key=456 csum=true seq=true",
    11: "gre remote_ip=1.1.2.92 in_key=flow out_key=3 packet_type=legacy_l3",
    12: "gre remote_ip=flow key=flow packet_type=ptap",
    13: "ip6gre remote_ip=2001:cafe::92 key=77 csum=true",
    14: "erspan remote_ip=1.1.2.92 key=56 erspan_ver=1 erspan_idx=3",
    15: "erspan remote_ip=1.1.2.92 key=57 erspan_ver=2 erspan_dir=1 erspan_hwid=7",
    16: "ip6erspan remote_ip=2001:cafe::92 key=58 erspan_ver=1 erspan_idx=abc",
    17: "erspan remote_ip=flow key=flow erspan_ver=flow erspan_idx=flow erspan_dir=flow erspan_hwid=flow",
    18: "gtpu remote_ip=1.1.2.92 key=78",
    19: "gtpu remote_ip=flow key=flow dst_port=2153",
    20: "vxlan remote_ip=9.9.9.9 key=1 egress_pkt_mark=4",
    21: "vxlan remote_ip=77.7.7.7 key=2",
    22: "vxlan remote_ip=1.1.2.93 key=3",
    23: "vxlan remote_ip=1.1.2.92 local_ip=1.1.2.88 key=4",
    24: "vxlan remote_ip=flow local_ip=flow key=flow dst_port=4792",
    25: "vxlan remote_ip=flow key=flow",
    26: "vxlan remote_ip=flow key=5",
    27: "vxlan remote_ip=1.1.2.92 key=12 tos=inherit ttl=inherit",
    28: "geneve remote_ip=flow local_ip=1.1.2.88 key=8",
    29: "geneve remote_ip=flow key=8",
    30: "geneve remote_ip=1.1.2.92 key=8",
    31: "geneve remote_ip=1.1.2.92 local_ip=1.1.2.88 key=8",
    32: "gre remote_ip=1.1.2.92 packet_type=legacy_l3",
}
"""OpenFlow port -> type and options."""

TLV = "{class=0xffff,type=0x80,len=4}->tun_metadata0,{class=0xffff,type=1,len=8}->tun_metadata1"

FLOWS = (
    "table=0,in_port=LOCAL,actions=resubmit(,1)",
    "table=0,priority=1,actions=LOCAL",
)


def configure(side: Side) -> None:
    """Make the bridges, with routes and neighbours."""
    assert side.vsctl(UNDERLAY) == ""
    words = []
    for number, text in TUNNELS.items():
        type_, *options = text.split()
        settings = " ".join(f"options:{option}" for option in options)
        words.append(
            f"add-port int-br t{number} -- set interface t{number} ofport_request={number} type={type_} "
            f"{settings}"
        )
    for word in words:
        assert side.vsctl(word) == "", word
    for command in (
        "netdev-dummy/ip4addr br0 1.1.2.88/24",
        "netdev-dummy/ip6addr br0 2001:cafe::88/64",
        "ovs/route/add 1.1.2.0/24 br0",
        "ovs/route/add 2001:cafe::/64 br0",
        "ovs/route/add 9.9.9.0/24 br0 1.1.2.92 pkt_mark=4",
        f"tnl/neigh/set br0 {PEER4} {PEER_MAC}",
        f"tnl/neigh/set br0 {PEER6} {PEER_MAC}",
    ):
        said = side.appctl(*command.split()).strip()
        assert said in ("OK", ""), f"{command}: {said}"
    side.run("ovs-ofctl", "add-tlv-map", "int-br", TLV)
    side.run("ovs-ofctl", "add-flow", "br0", "actions=normal")
    for flow in FLOWS:
        side.run("ovs-ofctl", "add-flow", "int-br", flow)


def add_cases(side: Side, cases: Iterable[str], first: int = 0) -> None:
    """Have packets of metadata n, from `first` on, do what the n-th of `cases` says."""
    flows = []
    for n, actions in enumerate(cases):
        # The TTL can be changed of what is known to be IP only.
        match = "ip," if "mod_nw_ttl" in actions else ""
        flows.append(f"table=1,metadata={first + n},{match}actions={actions}")
    path = side.directory / "cases.txt"
    path.write_text("\n".join(flows) + "\n")
    side.run("ovs-ofctl", "add-flows", "int-br", str(path))


def sent(side: Side, number: int, packet: str) -> str:
    """The trace of a packet of int-br's that case `number` sends."""
    return side.appctl("ofproto/trace", "int-br", f"metadata={number},{packet}")


def arrived(side: Side, flow: str) -> str:
    """The trace of a packet as the datapath has it."""
    return side.appctl("ofproto/trace", "ovs-dummy", flow)
