"""What traces say of tunnels, and commands of routes, neighbours and listeners: as the real switch."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.pair import Side
from tests.oracle.real import OracleError
from tests.tunnels.underlay import PEER6, TUNNELS, add_cases, arrived, sent
from tests.whole import ALL

pytestmark = pytest.mark.system

PACKETS = {
    "icmp": "in_port=LOCAL,icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=33",
    "ect0": "in_port=LOCAL,udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=2,nw_tos=4,nw_ecn=2",
    "ce": "in_port=LOCAL,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,nw_tos=0x48,nw_ecn=3",
    "ipv6": "in_port=LOCAL,udp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=5,nw_tos=0x20,nw_ecn=1",
    "arp": "in_port=LOCAL,arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1",
    "vlan": "in_port=LOCAL,dl_vlan=5,dl_vlan_pcp=3,icmp,nw_ttl=9",
}
ADDRESSED = "set_tunnel:0x55,set_field:1.1.2.92->tun_dst,output:{}"
EVERY_PORT = {
    f"t{n}-{name}": (ADDRESSED.format(n), packet) for n in TUNNELS for name, packet in PACKETS.items()
}
OUT = {
    "two tunnels": ("set_tunnel:1,output:1,set_tunnel:2,output:2", PACKETS["icmp"]),
    "a tunnel and then a port": ("output:1,LOCAL,in_port", PACKETS["icmp"]),
    "changed before": (
        "mod_nw_ttl:4,mod_dl_src:00:00:00:00:00:07,output:27,mod_nw_ttl:5,output:27",
        PACKETS["ce"],
    ),
    "changed after": ("output:10,mod_vlan_vid:5,output:9", PACKETS["icmp"]),
    "options": ("set_field:1.1.2.92->tun_dst,set_field:0xabcd->tun_metadata0,output:6", PACKETS["icmp"]),
    "two options": (
        "set_field:0xabcd->tun_metadata0,set_field:0x1122334455667788->tun_metadata1,set_field:1->tun_flags,"
        "set_tunnel:3,output:7",
        PACKETS["icmp"],
    ),
    "group policy without gbp": ("set_field:55->tun_gbp_id,output:1", PACKETS["icmp"]),
    "64-bit key": ("set_field:0x123456789abcdef->tun_id,output:2,output:12", PACKETS["icmp"]),
    "no remote": ("set_tunnel:5,output:6", PACKETS["icmp"]),
    "remote by IPv6": ("set_field:2001:cafe::92->tun_ipv6_dst,output:6,output:25", PACKETS["icmp"]),
    "local by flow": ("set_field:1.1.2.92->tun_dst,set_field:1.1.2.88->tun_src,output:24", PACKETS["icmp"]),
    "erspan by flow": (
        "set_field:1.1.2.92->tun_dst,set_field:1->tun_erspan_ver,set_field:5->tun_erspan_idx,output:17",
        PACKETS["icmp"],
    ),
    "erspan 2 by flow": (
        "set_field:1.1.2.92->tun_dst,set_field:2->tun_erspan_ver,set_field:1->tun_erspan_dir,"
        "set_field:9->tun_erspan_hwid,output:17",
        PACKETS["icmp"],
    ),
    "a session that erspan has not": (
        "set_field:1.1.2.92->tun_dst,set_tunnel:1024,set_field:2->tun_erspan_ver,output:17,output:14",
        PACKETS["icmp"],
    ),
    "clone": ("clone(set_tunnel:9,output:2),output:9", PACKETS["icmp"]),
    "learned in the middle": ("output:1,set_tunnel:7,output:2,output:1", PACKETS["ipv6"]),
    "tunnel tos by action": ("set_field:1.1.2.92->tun_dst,output:12,output:6", PACKETS["ect0"]),
}


LEAVING = {**EVERY_PORT, **OUT}
NUMBERS = {name: n for n, name in enumerate(LEAVING)}


@pytest.fixture(scope="module")
def leaving(pair: tuple[Side, Side]) -> tuple[Side, Side]:
    """Both switches with the flows of all cases."""
    for side in pair:
        add_cases(side, [actions for actions, _ in LEAVING.values()])
    return pair


@pytest.mark.parametrize("name", LEAVING)
def test_leaving(leaving: tuple[Side, Side], name: str) -> None:
    real, ours = (sent(side, NUMBERS[name], LEAVING[name][1]) for side in leaving)
    assert ours == real


ETH = "eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07)"
V4 = (
    f"{ETH},eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos={{}},ttl=64,frag=no),tcp(src=8,dst=9)"
)
L3 = "packet_type(ns=1,id=0x800),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,frag=no),udp(src=8)"


def tunnel(
    key: int | None, src: str = "1.1.2.92", dst: str = "1.1.2.88", more: str = "", tos: str = "0"
) -> str:
    """A datapath flow's tunnel."""
    words = [f"tun_id=0x{key:x}"] if key is not None else []
    words += [f"src={src}", f"dst={dst}", f"tos={tos}", "ttl=64", *([more] if more else [])]
    return f"tunnel({','.join(words)},flags({'key' if key is not None else ''}))"


VXLAN, GENEVE, GRE = "in_port(4789)", "in_port(6081)", "in_port({gre})"
IN = {
    "fixed key": f"{tunnel(123)},{VXLAN},{V4.format(0)}",
    "any key of a known remote": f"{tunnel(77)},{VXLAN},{V4.format(0)}",
    "any remote of a known key": f"{tunnel(5, '4.4.4.4')},{VXLAN},{V4.format(0)}",
    "any remote": f"{tunnel(99, '4.4.4.4')},{VXLAN},{V4.format(0)}",
    "local as well": f"{tunnel(4)},{VXLAN},{V4.format(0)}",
    "another local": f"{tunnel(4, dst='1.1.2.77')},{VXLAN},{V4.format(0)}",
    "geneve all fixed": f"{tunnel(8)},{GENEVE},{V4.format(0)}",
    "geneve remote and key": f"{tunnel(8, dst='1.1.2.3')},{GENEVE},{V4.format(0)}",
    "geneve local and key": f"{tunnel(8, '4.4.4.4')},{GENEVE},{V4.format(0)}",
    "geneve key": f"{tunnel(8, '4.4.4.4', '1.1.2.3')},{GENEVE},{V4.format(0)}",
    "geneve flow": f"{tunnel(81, '4.4.4.4', '1.1.2.3')},{GENEVE},{V4.format(0)}",
    "geneve in_key": f"{tunnel(5)},{GENEVE},{V4.format(0)}",
    "geneve IPv6": "tunnel(tun_id=0xb,ipv6_src=2001:cafe::92,ipv6_dst=2001:cafe::88,ttl=64,flags(csum|key)),"
    f"{GENEVE},{V4.format(0)}",
    "option": "tunnel(tun_id=0x51,src=4.4.4.4,dst=1.1.2.3,ttl=64,"
    f"geneve({{class=0xffff,type=0x80,len=4,0xabcd}}),flags(key)),{GENEVE},{V4.format(0)}",
    "unknown option": "tunnel(tun_id=0x51,src=4.4.4.4,dst=1.1.2.3,ttl=64,"
    f"geneve({{class=0xeeee,type=0x11,len=4,0xabcd}}),flags(key)),{GENEVE},{V4.format(0)}",
    "gre without key": f"{tunnel(None)},{GRE},{V4.format(0)}",
    "gre with key": f"{tunnel(456)},{GRE},{V4.format(0)}",
    "gre with another key": f"{tunnel(457)},{GRE},{V4.format(0)}",
    "gre L3": f"{tunnel(None)},{GRE},{L3}",
    "gre L3 with key": f"{tunnel(9)},{GRE},{L3}",
    "gre L3 of another remote": f"{tunnel(9, '4.4.4.4')},{GRE},{L3}",
    "congested": f"{tunnel(123, tos='3')},{VXLAN},{V4.format(2)}",
    "congested, not capable": f"{tunnel(123, tos='3')},{VXLAN},{V4.format(0)}",
    "congested, L3": f"{tunnel(9, tos='3')},{GRE},{L3}",
    "no such tunnel": f"{tunnel(4, '1.1.2.99')},in_port(4791),{V4.format(0)}",
    "congested inside": f"{tunnel(123, tos='2')},{VXLAN},{V4.format(3)}",
    "tos": f"{tunnel(123, tos='0x48')},{VXLAN},{V4.format(1)}",
    "group policy": f"{tunnel(7, more='vxlan(gbp(id=7,flags=0x8))')},in_port(4790),{V4.format(0)}",
    "to the underlay": "in_port(1),eth(src=f8:bc:12:44:34:b6,dst=aa:55:aa:55:00:00),eth_type(0x0800),"
    "ipv4(src=1.1.2.92,dst=1.1.2.88,proto=17,tos=0,ttl=64,frag=no),udp(src=51283,dst=4789)",
    "another port": "in_port(1),eth(src=f8:bc:12:44:34:b6,dst=aa:55:aa:55:00:00),eth_type(0x0800),"
    "ipv4(src=1.1.2.92,dst=1.1.2.88,proto=17,tos=0,ttl=64,frag=no),udp(src=51283,dst=4799)",
    "another address": "in_port(1),eth(src=f8:bc:12:44:34:b6,dst=aa:55:aa:55:00:00),eth_type(0x0800),"
    "ipv4(src=1.1.2.92,dst=1.1.2.89,proto=17,tos=0,ttl=64,frag=no),udp(src=51283,dst=4789)",
    "a fragment": "in_port(1),eth(src=f8:bc:12:44:34:b6,dst=aa:55:aa:55:00:00),eth_type(0x0800),"
    "ipv4(src=1.1.2.92,dst=1.1.2.88,proto=17,tos=0,ttl=64,frag=later)",
    "gre underlay": "in_port(1),eth(src=f8:bc:12:44:34:b6,dst=aa:55:aa:55:00:00),eth_type(0x0800),"
    "ipv4(src=1.1.2.92,dst=1.1.2.88,proto=47,tos=0,ttl=64,frag=no)",
    "IPv6 underlay": "in_port(1),eth(src=f8:bc:12:44:34:b6,dst=aa:55:aa:55:00:00),eth_type(0x86dd),"
    "ipv6(src=2001:cafe::92,dst=2001:cafe::88,label=0,proto=17,tclass=0,hlimit=64,frag=no),udp(src=1,dst=6081)",
}


@pytest.mark.parametrize("name", IN)
def test_arriving(pair: tuple[Side, Side], name: str) -> None:
    flow = IN[name].replace("{gre}", gre_port(pair[0]))
    real, ours = (trace_or_error(side, flow) for side in pair)
    assert ours == real


def gre_port(side: Side) -> str:
    """The datapath's port of GRE."""
    shown = side.appctl("tnl/ports/show")
    return next(line for line in shown.splitlines() if line.startswith("gre_sys")).split("(")[1].split(")")[0]


def trace_or_error(side: Side, flow: str) -> str:
    try:
        return arrived(side, flow)
    except OracleError as e:
        return f"error: {e}"


COMMANDS = """
ovs/route/show
ovs/route/lookup 1.1.2.92
ovs/route/lookup 9.9.9.7
ovs/route/lookup 9.9.9.7 pkt_mark=4
ovs/route/lookup 2001:cafe::1
ovs/route/lookup foo
ovs/route/lookup 8.8.8.8
ovs/route/add foo br0
ovs/route/add 5.5.5.0/24 br0
ovs/route/add 5.5.5.0/24 br0 1.1.2.7
ovs/route/add 5.5.5.77/16 br0 1.1.2.8
ovs/route/add 5.5.5.9 br0 1.1.2.9
ovs/route/add 6.6.6.0/24 br0 foo
ovs/route/add 6.6.6.0/24 br0 1.1.2.7 pkt_mark=x
ovs/route/add 6.6.6.0/24 br0 1.1.2.7 pkt_mark=0x10
ovs/route/add 6.6.6.0/24 nodevice 1.1.2.7
ovs/route/add 0.0.0.0/0 br0 1.1.2.1
ovs/route/add ::/0 br0 2001:cafe::1
ovs/route/lookup 5.5.5.1
ovs/route/lookup 5.5.6.1
ovs/route/lookup 5.5.5.9
ovs/route/lookup 6.6.6.6
ovs/route/lookup 6.6.6.6 pkt_mark=16
ovs/route/lookup 77.1.1.1
ovs/route/lookup 2002::1
ovs/route/del 5.5.5.0/24
ovs/route/del 5.5.5.0/24
ovs/route/del 5.5.0.0/16
ovs/route/del 5.5.5.9
ovs/route/del foo
ovs/route/del 6.6.6.0/24
ovs/route/del 6.6.6.0/24 pkt_mark=16
ovs/route/del 0.0.0.0/0
ovs/route/del ::/0
tnl/neigh/set br0 7.7.7.7 00:00:00:00:00:01
tnl/neigh/set br0 foo 00:00:00:00:00:01
tnl/neigh/set br0 7.7.7.7 foo
tnl/neigh/set nobridge fd00::1 00:00:00:00:00:02
tnl/arp/set br0 7.7.7.8 00:00:00:00:00:03
tnl/neigh/aging
tnl/neigh/aging 5
tnl/arp/aging
tnl/neigh/aging 0
tnl/neigh/aging 3601
tnl/neigh/aging x
tnl/neigh/aging 900
tnl/egress_port_range
tnl/egress_port_range 100 200
tnl/egress_port_range 400 300
tnl/egress_port_range
tnl/egress_port_range x 5
tnl/egress_port_range 5 x
tnl/egress_port_range 5
tnl/egress_port_range 0 70000
tnl/egress_port_range 32768 61000
""".strip().splitlines()


def test_what_is_listened_for(pair: tuple[Side, Side]) -> None:
    for options in ((), ("-v",)):
        real, ours = (sorted(side.appctl("tnl/ports/show", *options).splitlines()) for side in pair)
        assert ours == real


def test_the_device_that_a_tunnel_leaves_by_is_told(pair: tuple[Side, Side]) -> None:
    ours = pair[1]
    wanted = "{tunnel_egress_iface=br0, tunnel_egress_iface_carrier=up}"
    ours.wait(lambda: ours.get("interface", "t8", "status") == wanted, "the device")


def test_ports_are_shown_with_their_options(pair: tuple[Side, Side]) -> None:
    real, ours = (side.appctl("dpif/show").splitlines()[1:] for side in pair)
    assert ours == real


def test_errors_and_status_in_the_database(pair: tuple[Side, Side]) -> None:
    """What cannot be says so in Interface.error; a tunnel's other columns are as they should be."""
    wrong = {
        "e1": "vxlan",
        "e2": "vxlan options:remote_ip=foo",
        "e3": "vxlan options:remote_ip=1.1.1.1 options:local_ip=flow",
        "e4": "vxlan options:remote_ip=224.1.1.1",
        "e5": "geneve options:remote_ip=1.1.1.1 options:local_ip=fd00::1",
        "e6": "erspan options:remote_ip=1.1.1.1 options:erspan_ver=5",
        "e7": "gre options:remote_ip=ff02::1",
        "e8": "vxlan options:remote_ip=1.1.1.1 options:key=31 options:foo=bar",
        "e9": "vxlan options:remote_ip=1.1.1.1 options:key=32 options:local_ip=foo",
    }
    columns = "name,error,ofport,mtu,admin_state,link_state,ifindex,duplex,link_speed,link_resets"
    said = []
    for side in pair:
        for name, text in wrong.items():
            side.vsctl(f"add-port int-br {name} -- set interface {name} type={text}")
        rows = [
            side.run("ovs-vsctl", f"--columns={columns}", "list", "interface", name)
            for name in (*wrong, "t1")
        ]
        said.append(rows)
        for name in wrong:
            side.vsctl(f"del-port int-br {name}")
    assert said[1] == said[0]


FRAMES_ONLY = [n for n, text in TUNNELS.items() if "gtpu" not in text and "legacy_l3" not in text]
"""Tunnels that carry Ethernet: the real switch ends abnormally where another kind comes before one."""


def random_case(chance: random.Random) -> tuple[str, str]:
    """Actions with a few tunnel ports, and a packet."""
    choices = [
        lambda: f"set_tunnel:{chance.randrange(1 << 24)}",
        lambda: "set_field:1.1.2.92->tun_dst",
        lambda: "set_field:2001:cafe::92->tun_ipv6_dst",
        lambda: f"set_field:{chance.randrange(1 << 32)}->tun_metadata0",
        lambda: f"mod_nw_ttl:{chance.randrange(1, 255)}",
        lambda: f"mod_nw_tos:{chance.randrange(0, 255, 4)}",
        lambda: f"mod_dl_src:00:00:00:00:00:{chance.randrange(99):02d}",
        lambda: f"mod_vlan_vid:{chance.randrange(4096)}",
        lambda: "strip_vlan",
        lambda: "LOCAL",
        lambda: f"set_field:{chance.randrange(2)}->tun_flags",
        lambda: f"load:{chance.randrange(9)}->NXM_NX_PKT_MARK[]",
        lambda: f"set_field:{chance.randrange(1, 3)}->tun_erspan_ver",
    ]
    words = []
    for _ in range(chance.randrange(1, 5)):
        words += [chance.choice(choices)() for _ in range(chance.randrange(4))]
        words.append(f"output:{chance.choice(FRAMES_ONLY)}")
    return ",".join(words), chance.choice(list(PACKETS.values()))


def test_random(pair: tuple[Side, Side]) -> None:
    chance = random.Random(20)
    cases = [random_case(chance) for _ in range(1000 if ALL else 200)]
    for side in pair:
        add_cases(side, [actions for actions, _ in cases], 1000)
    for n, (actions, packet) in enumerate(cases):
        real, ours = (sent(side, 1000 + n, packet) for side in pair)
        assert ours == real, f"case {n}: {actions} of {packet}"


def random_arrival(chance: random.Random) -> str:
    """A packet that comes out of some tunnel: which one is a matter of addresses, key and packet type."""
    key = chance.choice([None, 1, 3, 4, 5, 7, 8, 9, 10, 11, 12, 57, 77, 78, 123, 456, chance.randrange(99)])
    if chance.random() < 0.75:
        src, dst = chance.choice(["1.1.2.92", "1.1.2.93", "4.4.4.4"]), chance.choice(["1.1.2.88", "1.1.2.77"])
        addresses = f"src={src},dst={dst}"
    else:
        src, dst = chance.choice([PEER6, "2001:cafe::5"]), chance.choice(["2001:cafe::88", "2001:cafe::77"])
        addresses = f"ipv6_src={src},ipv6_dst={dst}"
    flags = chance.choice(["", "csum"] if key is None else ["key", "csum|key"])
    number = f"tun_id=0x{key:x}," if key is not None else ""
    outer = f"tunnel({number}{addresses},tos={chance.randrange(4)},ttl=64,flags({flags}))"
    port = chance.choice(["{gre}", "4789", "4789", "4791", "4792", "6081", "6081"])
    inner = L3 if port == "{gre}" and chance.random() < 0.4 else V4.format(chance.randrange(4))
    return f"{outer},in_port({port}),{inner}"


def test_random_arrivals(pair: tuple[Side, Side]) -> None:
    chance = random.Random(21)
    gre = gre_port(pair[0])
    for n in range(1000 if ALL else 150):
        flow = random_arrival(chance).replace("{gre}", gre)
        real, ours = (trace_or_error(side, flow) for side in pair)
        assert ours == real, f"case {n}: {flow}"


def test_commands(pair: tuple[Side, Side]) -> None:
    """Each answers in the same words, and leaves the same routes and neighbours. It is last, for with a
    route the real switch forgets what tunnels listen for."""
    for command in COMMANDS:
        said = []
        for side in pair:
            try:
                said.append(side.appctl(*command.split()))
            except OracleError as e:
                said.append(f"error: {e}")
        assert said[1] == said[0], command
        for table in ("ovs/route/show", "tnl/neigh/show"):
            real, ours = (sorted(side.appctl(table).splitlines()) for side in pair)
            assert ours == real, f"{table} after {command}"


def frames(connection: socket.socket) -> Iterator[bytes]:
    """The frames on a dummy's stream: each has its length in front, 16 bits."""
    stream = connection.makefile("rb")
    while len(head := stream.read(2)) == 2:
        yield stream.read(int.from_bytes(head, "big"))


def test_bfd_in_a_tunnel_says_in_the_outer_header_that_it_is_of_operation(
    pair: tuple[Side, Side], tmp_path: Path
) -> None:
    flags: list[list[int]] = []
    for n, side in enumerate(pair):
        path = tmp_path / str(n)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            listener.settimeout(10)
            said = side.vsctl(
                f"set interface p0 options:stream=unix:{path} "
                "-- set interface t8 bfd:enable=true bfd:min_tx=100"
            )
            assert said == ""
            try:
                connection, _ = listener.accept()
                connection.settimeout(10)
                seen = (frame for frame in frames(connection) if frame[12:14] == b"\x86\xdd")
                # Behind Ethernet, IPv6 and UDP: version and lengths, then the flags (RFC 8926, section 3.4).
                plain = next(frame[63] & 0x80 for frame in seen)
                assert side.vsctl("set interface t8 bfd:oam=true") == ""
                marked = next(bit for frame in seen if (bit := frame[63] & 0x80))
                flags.append([plain, marked])
                connection.close()
            finally:
                side.vsctl("clear interface t8 bfd -- remove interface p0 options stream")
    assert flags == [[0, 0x80]] * 2
