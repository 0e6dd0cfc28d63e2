"""What tunnels put around packets, as tshark takes it apart: every kind, over IPv4 and IPv6."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_PACKET_TYPE
from vswitch.netdev.tunnel_options import parse_address, parse_tunnel
from vswitch.ofproto_dpif.tunnel.send import outer_header, tunnel_fields
from vswitch.packet.parse import Parser
from vswitch.packet.tunnel import kinds
from vswitch.packet.tunnel.outer import Encap

pytestmark = pytest.mark.system

FRAME = bytes(
    Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    / IP(src="192.168.1.1", dst="192.168.1.2", tos=0x28, ttl=33)
    / ICMP(id=7)
    / b"inner packet"
)
REMOTE = {4: "10.1.1.2", 6: "fd10::2"}
LOCAL = {4: "10.1.1.1", 6: "fd10::1"}
MPLS_LABEL = bytes.fromhex("0006413f")
ETH = "eth:ethertype:ip:icmp:data"
PACKET = "ip:icmp:data"
OPTION = bytes.fromhex("ffff800111223344")

CASES: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "vxlan": ("vxlan", "key=123", f"udp:vxlan:{ETH}", {"vxlan.vni": "123", "udp.dstport": "4789"}),
    "vxlan csum": ("vxlan", "key=123 csum=true", f"udp:vxlan:{ETH}", {"udp.checksum.status": "1"}),
    "vxlan elsewhere": ("vxlan", "key=9 dst_port=8472", f"udp:vxlan:{ETH}", {"vxlan.vni": "9"}),
    "vxlan inherit": (
        "vxlan", "key=1 tos=inherit ttl=inherit", f"udp:vxlan:{ETH}", {"tos": "40", "ttl": "33"},
    ),
    "vxlan fixed": ("vxlan", "key=1 tos=0x10 ttl=9", f"udp:vxlan:{ETH}", {"tos": "16", "ttl": "9"}),
    "vxlan gpe": (
        "vxlan", "key=5 exts=gpe packet_type=legacy_l3 dst_port=4790", f"udp:{PACKET}",
        {"vxlan.vni": "5", "vxlan.next_proto": "1"},
    ),
    "geneve": ("geneve", "key=7", f"udp:geneve:{ETH}", {"geneve.vni": "0x000007", "geneve.version": "0"}),
    "geneve option": (
        "geneve", "key=7 csum=true", f"udp:geneve:{ETH}",
        {"geneve.option.class": "0xffff", "geneve.option.type": "0x80", "geneve.flags.critical": "1"},
    ),
    "geneve L3": (
        "geneve", "key=7 packet_type=legacy_l3", f"udp:geneve:{PACKET}", {"geneve.proto_type": "0x0800"},
    ),
    "gre": ("gre", "", f"gre:{ETH}", {"gre.proto": "0x6558", "gre.flags.key": "0"}),
    "gre all": (
        "gre", "key=456 csum=true seq=true", f"gre:{ETH}",
        {"gre.key": "0x000001c8", "gre.sequence_number": "5", "gre.checksum.status": "1"},
    ),
    "gre L3": ("gre", "key=4 packet_type=legacy_l3", f"gre:{PACKET}", {"gre.proto": "0x0800"}),
    "ip6gre": (
        "ip6gre", "key=77 csum=true", f"gre:{ETH}", {"gre.key": "0x0000004d", "gre.checksum.status": "1"},
    ),
    "erspan 1": (
        "erspan", "key=56 erspan_ver=1 erspan_idx=3", f"gre:erspan:{ETH}",
        {"erspan.spanid": "56", "erspan.index": "3", "gre.sequence_number": "5"},
    ),
    "erspan 2": (
        "erspan", "key=57 erspan_ver=2 erspan_dir=1 erspan_hwid=7", f"gre:erspan:{ETH}",
        {"erspan.spanid": "57", "erspan.direction": "1", "erspan.hw": "7"},
    ),
    "ip6erspan": (
        "ip6erspan", "key=58 erspan_ver=1 erspan_idx=abc", f"gre:erspan:{ETH}",
        {"erspan.spanid": "58", "erspan.index": str(0xABC)},
    ),
    "gtpu": ("gtpu", "key=78", f"udp:gtp:{PACKET}", {"gtp.teid": "0x0000004e", "gtp.message": "0xff"}),
    "bareudp ip": ("bareudp", "payload_type=ip dst_port=7000", f"udp:{PACKET}", {"udp.dstport": "7000"}),
    "bareudp mpls": (
        "bareudp", "payload_type=mpls dst_port=6635", f"udp:mpls:{PACKET}", {"mpls.label": "100"},
    ),
    "srv6": (
        "srv6", "srv6_segs=fd10::2,fd20::9", f"ipv6.routing:{PACKET}",
        {"ipv6.routing.segleft": "1", "ipv6.routing.type": "4"},
    ),
}  # fmt: skip
"""Kind, options, layers behind the outer IP header (GPE has no name there), and what tshark says of some
fields."""
FOR_V6 = ("ip6gre", "ip6erspan", "srv6")
FRAMES = [(name, version) for name in CASES for version in (4, 6) if version == 6 or name not in FOR_V6]
FIELDS = sorted({field for *_, fields in CASES.values() for field in fields if "." in field})
OUTER = (
    "frame.protocols", "ip.src", "ip.dst", "ip.flags.df", "ip.checksum.status", "ip.dsfield", "ip.ttl",
    "ipv6.src", "ipv6.dst", "ipv6.tclass", "ipv6.hlim", "_ws.malformed",
)  # fmt: skip


def encapsulated(name: str, version: int) -> bytes:
    """The packet that leaves by such a tunnel."""
    kind, options, layers, _ = CASES[name]
    wanted = dict(word.split("=") for word in options.split())
    config = parse_tunnel("t", kind, {"remote_ip": REMOTE[version], **wanted})
    flow, inner = Flow(), FRAME
    extract(FRAME, flow, Parser())
    if "eth:" not in layers:
        inner = FRAME[14:]
        flow.words[W_PACKET_TYPE] |= 0x10800
    if name == "bareudp mpls":
        inner = MPLS_LABEL + inner
        flow.words[W_PACKET_TYPE] ^= 0x10800 ^ 0x18847
    tunnel_fields(config, flow, Flow())
    source, destination = parse_address(LOCAL[version]), parse_address(REMOTE[version])
    assert source is not None
    assert destination is not None
    option = OPTION if "option" in name else b""
    header = outer_header(config, flow, option, 0x020000000011, 0x020000000012, source, destination)
    kind_number = (kinds.OVER_IPV4 if version == 4 else kinds.OVER_IPV6).get(config.kind, config.kind)
    return Encap(header, kind_number).wrap(inner, 40000, 5)


@pytest.fixture(scope="module")
def dissected(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """tshark's layers of every frame."""
    require("command:tshark")
    path = Path(tmp_path_factory.mktemp("frames")) / "frames.pcap"
    wrpcap(str(path), [Ether(encapsulated(*frame)) for frame in FRAMES])
    words = ["tshark", "-r", str(path), "-T", "json", "-d", "udp.port==7000,ip", "-d", "udp.port==8472,vxlan"]
    for check in ("ip.check_checksum", "udp.check_checksum"):
        words += ["-o", f"{check}:TRUE"]
    for field in {*FIELDS, *OUTER}:
        words += ["-e", field]
    said = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return {
        f"{name}/{version}": packet["_source"]["layers"]
        for (name, version), packet in zip(FRAMES, said, strict=True)
    }


@pytest.mark.parametrize(("name", "version"), FRAMES)
def test_as_tshark_sees_it(dissected: dict[str, Any], name: str, version: int) -> None:
    seen = dissected[f"{name}/{version}"]
    _, options, layers, wanted = CASES[name]
    outer = "ip" if version == 4 else "ipv6"
    first = {field: values[0] for field, values in seen.items()}
    assert first["frame.protocols"] == f"eth:ethertype:{outer}:{layers}"
    assert "_ws.malformed" not in seen
    assert first[f"{outer}.src"] == LOCAL[version]
    assert first[f"{outer}.dst"] == REMOTE[version]
    if version == 4:
        # The outer header's checksum and the inner one's.
        assert seen["ip.checksum.status"] == ["1", "1"]
        assert first["ip.flags.df"] == "1"
    if layers.startswith("udp"):
        computed = version == 6 or "csum=true" in options
        assert first["udp.checksum.status"] == ("1" if computed else "3")
    tos, ttl = ("ip.dsfield", "ip.ttl") if version == 4 else ("ipv6.tclass", "ipv6.hlim")
    said = {"tos": str(int(first[tos], 0)), "ttl": first[ttl], **first}
    for field, value in {"tos": "0", "ttl": "64", **wanted}.items():
        assert said[field] == value, field


def test_every_kind_is_there() -> None:
    assert {kind for kind, *_ in CASES.values()} == set(kinds.NUMBERS)
