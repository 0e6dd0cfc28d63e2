"""`vswitch ofctl` says of texts and captured messages what ovs-ofctl says, without a switch."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.own_tools import run_own
from tests.whole import sample
from vswitch.flow.fields import FIELDS
from vswitch.packet.checksum import csum

pytestmark = pytest.mark.system

COMMANDS = """
parse-flow tcp,tp_dst=80,actions=output:1
-O OpenFlow13 parse-flow tcp,actions=goto_table:3
parse-flow reg0=1,actions=drop
-O OpenFlow15 parse-flow reg0=1,actions=drop
parse-flow bogus
parse-flow actions=
-m parse-flow tcp,actions=2
-O OpenFlow13 parse-flow actions=group:5,output(port=1,max_len=20)
-O OpenFlow11 parse-flow metadata=1,actions=clone(2)
parse-flow table=3,actions=2
parse-flow tun_metadata0=1,actions=drop
-O OpenFlow10,OpenFlow13 parse-flow actions=set_field:1->reg0
-F OpenFlow10 parse-flow actions=set_field:1->reg0
-F OpenFlow10 parse-flow actions=load:1->reg0[]
parse-flow actions=write_metadata:5
parse-flow actions=encap(ethernet)
-O OpenFlow13 parse-flow actions=encap(ethernet)
parse-flow actions=write_actions(encap(ethernet))
parse-flow actions=clone(set_field:1->reg0)
parse-flow actions=clone(push_vlan:0x8100)
parse-flow ip,actions=ct(commit,exec(set_field:1->ct_mark))
parse-flow icmp6,actions=1
parse-flow ipv6,actions=1
-F NXM parse-flow ip,actions=1
-F OXM parse-flow ip,actions=1
parse-flows FLOWS
-O OpenFlow13 parse-flows FLOWS
-O OpenFlow11 parse-flows FLOWS
parse-flows NOFILE
-O , parse-flow actions=1
-F , parse-flow actions=1
-F NXM,,OpenFlow10 parse-flow actions=1
-F nosuch parse-flow actions=1
diff-flows FLAGS1 FLAGS1
diff-flows FLAGS1 FLAGS2
-O OpenFlow14 diff-flows FLAGS1 FLAGS2
-O OpenFlow14 diff-flows FLAGS2 FLAGS3
print-error OFPBRC_BAD_TYPE
print-error NXBRC_NXM_INVALID
print-error foo
ofp-print 0105000800000001
ofp-print 0105000800000001 2
ofp-print 010500080000000101
ofp-print 0105000800000001010500080000000201
ofp-print 010e00480000000100382
ofp-print 01
ofp-print zz
ofp-print
ofp-parse MESSAGES
ofp-parse SHORT
ofp-parse NOFILE
ofp-parse-pcap PCAP
ofp-parse-pcap PCAP 80
ofp-parse-pcap PCAP 80 6653
ofp-parse CARRYING
-m ofp-parse CARRYING
ofp-parse-pcap NOFILE
parse-flow in_port=eth0,actions=eth1
--strict parse-flow actions=1
-O OpenFlow14 --bundle parse-flow actions=1
parse-flow priority=5,cookie=7,ip,idle_timeout=3,actions=normal
parse-actions OpenFlow10 <<< # x\\n\\n0000 0008 0001 0000\\n0000 0008 0001
parse-actions OpenFlow10 <<< zz
parse-actions nosuch <<< 00
parse-actions OpenFlow10 <<< 0000 0008 0001 0005
parse-actions OpenFlow13 <<< 0000 0010 00000001 0000 000000000000
parse-actions OpenFlow13 <<< ffff 0010 00002320 000e 000000000000
parse-actions OpenFlow10 <<< ffff 0010 00002320 0025 000000000000
parse-instructions OpenFlow13 <<< 0001 0008 05 000000
parse-instructions OpenFlow11 <<< 0001 0008 01 000001
parse-instructions OpenFlow13 <<< 0003 0018 00000000 0000 0010 00000001 0000 000000000000
parse-instructions OpenFlow15 <<< 0006 0008 00000001
parse-instructions OpenFlow13 <<< 0006 0008 00000001
parse-instructions OpenFlow13 <<< 0004 0008 00000000
parse-instructions OpenFlow13 <<<
parse-instructions OpenFlow10 <<< 0000 0008 0001 0000
parse-group group_id=5,type=all,bucket=output:1 <<<
parse-group command_bucket_id=all <<<
parse-group group_id=x <<<
parse-group group_id=5,type=indirect,bucket=meter:1,2 <<<
-O OpenFlow15 parse-group group_id=5,type=indirect,bucket=meter:1,2 <<<
-O OpenFlow11 parse-group group_id=5,type=select,selection_method=hash,bucket=output:1 <<<
-O OpenFlow15 parse-group group_id=5,type=select,selection_method=hash,bucket=output:1 <<<
encode-hello 0x3 <<<
encode-hello 0x7e <<<
encode-hello 0x1c <<<
encode-hello 0x70 <<<
encode-error-reply OFPBRC_BAD_TYPE 0106000800000001 <<<
encode-error-reply NXBRC_NXM_INVALID 0106000800000001 <<<
encode-error-reply OFPHFC_EPERM 0606000800000001 <<<
encode-error-reply foo 0106000800000001 <<<
encode-error-reply OFPBRC_BAD_TYPE 01 <<<
encode-error-reply OFPBRC_BAD_TYPE zz <<<
encode-error-reply OFPBRC_BAD_TYPE 0106000900000001 <<<
encode-error-reply OFPGMFC_BAD_TYPE 0106000800000001 <<<
parse-key-value a=b,c(d) a(b(c),d) a:b=c =x a,,b a() a(b a[b],c x=(1,2),y <<<
compose-packet tcp,tp_dst=5 <<<
compose-packet udp,dl_src=1:2:3:4:5:6 10 <<<
compose-packet icmp6 <<<
compose-packet arp,arp_op=1 <<<
compose-packet mpls,mpls_label=3 <<<
compose-packet dl_vlan=5,ip,nw_ttl=3 0800 <<<
compose-packet tcp,foo <<<
compose-packet tcp 100 <<<
parse-packet <<< xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
parse-packet <<< x
parse-pcap PCAP <<<
parse-pcap <<<
parse-actions <<<
encode-hello <<<
"""
FLAGGED = b"""
priority=1,send_flow_rem,in_port=1,actions=output:1
priority=2,check_overlap,in_port=1,actions=output:1
priority=3,reset_counts,idle_timeout=5,importance=3,in_port=1,actions=output:1
table=3,no_packet_counts,cookie=4,in_port=1,actions=drop
table=3,priority=5,no_byte_counts,hard_timeout=9,in_port=1,actions=output:1
"""
INPUT = " <<<"
"""What stands behind it in a line is standard input, "\\n" a new line in it."""
PRINTED = Path(__file__).with_name("printed_messages.txt")
OTHERWISE = ("actions=set_field:1->in_port_oxm",)
"""Ours asks no more of it than of in_port."""
PACKET_IN = bytes.fromhex(
    "010a003e00000007ffffffff002e0001000000000200000000020200000000010800"
    "4500002000010000401166cb0a0000010a00000200010002000c0000"
)
LOGGED = re.compile(r"^\S+Z\|\d+\|\w+\|(WARN|INFO)\|.*\n", re.MULTILINE)
CLIENT, SWITCH = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))


def segment(source: bytes, target: bytes, ports: tuple[int, int], seq: int, flags: int, data: bytes) -> bytes:
    tcp = struct.pack(">HHIIBBHHH", *ports, seq, 0, 0x50, flags, 8192, 0, 0) + data
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + source + target
    return b"\2\0\0\0\0\2\2\0\0\0\0\1\x08\0" + head[:10] + csum(head).to_bytes(2, "big") + head[12:] + tcp


def request(xid: int, kind: int = 5) -> bytes:
    return struct.pack(">BBHI", 1, kind, 8, xid)


def capture() -> bytes:
    """A pcap file: a connection both ways, a message cut in two, one sent twice, another port."""
    there, back = (CLIENT, SWITCH, (40000, 6653)), (SWITCH, CLIENT, (6653, 40000))
    hello = request(7, 0)
    packets = [
        segment(*there, 100, 2, b""), segment(*back, 500, 0x12, b""), segment(*there, 101, 0x18, request(1)),
        segment(*back, 501, 0x18, hello[:5]), segment(*back, 506, 0x18, hello[5:] + request(8)),
        segment(*there, 109, 0x18, request(2)), segment(*there, 109, 0x18, request(2)),
        segment(CLIENT, SWITCH, (1, 80), 1, 0x18, request(9)), segment(*there, 117, 0x18, request(12, 99)),
        segment(*there, 125, 0x18, request(13)),
    ]  # fmt: skip
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number, packet in enumerate(packets):
        out += struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet
    return out


@pytest.fixture
def files(require: Callable[..., None], tmp_path: Path) -> dict[str, str]:
    """Name in a command line -> file."""
    require("command:ovs-ofctl")
    contents = {
        "FLOWS": b"tcp,actions=output:1\nreg0=1,actions=drop\n# none\n\ntable=3,actions=drop\n",
        "FLAGS1": FLAGGED,
        "FLAGS2": FLAGGED.replace(b"send_flow_rem,", b"").replace(b"check_overlap", b"table=0"),
        "FLAGS3": FLAGGED.replace(b"output:1", b"output:2").replace(b"importance=3,", b""),
        "CARRYING": struct.pack(">BBHI8s", 2, 3, 16, 7, b"whatever") + PACKET_IN,
        "MESSAGES": request(1) + request(2) + request(3)[:5],
        "SHORT": request(1) + b"\1\5\0\2\0\0\0\1",
        "PCAP": capture(),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    return {name: str(tmp_path / name) for name in (*contents, "NOFILE")}


def said(words: list[str], own: bool, stdin: str = "") -> tuple[int, str, str]:
    if own:
        ran = run_own(words, dict(os.environ), stdin)
    else:
        ran = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout, LOGGED.sub("", ran.stderr)


def test_our_tool_says_the_same(files: dict[str, str]) -> None:
    differ = []
    printed = [f"ofp-print {line}" for line in PRINTED.read_text().splitlines() if not line.startswith("#")]
    for line in (*COMMANDS.split("\n"), *printed):
        command, _, stdin = line.partition(INPUT)
        words = ["ovs-ofctl", *(files.get(word, word) for word in command.split())]
        ours, real = (said(words, own, stdin.strip().replace("\\n", "\n")) for own in (True, False))
        if ours != real and line:
            differ.append(f"$ {line}\n--- ours [{ours[0]}]\n{ours[1]}{ours[2]}--- real [{real[0]}]\n"
                          f"{real[1]}{real[2]}")  # fmt: skip
    assert not differ, "\n".join(differ)


VALUES = (
    "1", "1/1", "4/4", "255", "0x100", "4/0xfc", "-1", "x", "", "1/x", "0x1/0x1", "0b1", "later", "+new",
    "00:00:00:00:00:01/ff:00:00:00:00:00", "1.2.3.4/8", "::1/7",
)  # fmt: skip
OF_FIELDS = ("nw_tos", "ip_dscp", "nw_ecn", "ip_frag", "vlan_pcp", "nw_ttl", "mpls_label", "mpls_tc",
             "arp_op", "nw_proto", "dl_type", "icmp_type", "ct_state", "ct_zone", "nsh_flags", "eth_src",
             "nw_src", "ipv6_src", "tp_dst", "reg0", "xreg1", "xxreg0", "ct_label", "metadata")  # fmt: skip


@pytest.mark.parametrize("name", sample(OF_FIELDS, 8))
def test_the_same_values_are_refused(require: Callable[..., None], name: str) -> None:
    require("command:ovs-ofctl")
    differ = []
    for value in VALUES:
        for text in ("tcp,{1}={0},actions=drop", "icmp6,{1}={0},actions=drop",
                     "tcp,actions=set_field:{0}->{1}", "mpls,actions=set_field:{0}->{1}"):  # fmt: skip
            words = ["ovs-ofctl", "-O", "OpenFlow13", "parse-flow", text.format(value, name)]
            ours, real = (said(words, own) for own in (True, False))
            if "decode error" in real[1]:
                continue
            if (ours[0], ours[2], ours[1].splitlines()[2:]) != (real[0], real[2], real[1].splitlines()[2:]):
                differ.append(f"{words[-1]}: {real[1]}{real[2]}\n{ours[1]}{ours[2]}")
    assert not differ, "\n".join(differ)


ODD_NUMBERS = (
    "65535", "65536", "65279", "65280", "65281", "65520", "65527", "65529", "65533", "65534", "+70000", "-0",
    "-3", "4294967039", "4294967040", "4294967295", "4294967296", "99999999999", "-99999999999",
    "00000000000000000007", "254", "256", "+300", "2147483648", "0x100", "+", "-", "5-",
)  # fmt: skip
NUMBERED = ("in_port={},actions=drop", "table={},actions=drop", "actions=output:{}", "actions=resubmit({},2)",
            "actions=resubmit(,{})", "actions=goto_table:{}", "actions=output(port={},max_len=100)",
            "actions=learn(table={},output:NXM_OF_IN_PORT[])", "ip,actions=ct(table={})")  # fmt: skip


@pytest.mark.parametrize("text", NUMBERED)
def test_what_is_odd_about_a_number_is_logged(require: Callable[..., None], text: str) -> None:
    require("command:ovs-ofctl")
    differ = []
    for number in ODD_NUMBERS:
        words = ["ovs-ofctl", "-O", "OpenFlow13", "parse-flow", text.format(number)]
        real = subprocess.run(words, capture_output=True, text=True, check=False)
        own = run_own(words, dict(os.environ), "")
        ours, theirs = (re.sub(r"^\S+Z\|\d+\|", "", ran.stderr, flags=re.MULTILINE) for ran in (own, real))
        if ours != theirs:
            differ.append(f"{words[-1]}\n{theirs}{ours}")
    assert not differ, "\n".join(differ)


def test_each_field_can_be_set_in_the_same_formats(require: Callable[..., None]) -> None:
    require("command:ovs-ofctl")
    differ = []
    for field in FIELDS:
        if re.fullmatch(r"\w+[1-9]\d*", field.name):
            continue
        for text in ("actions=set_field:1->{}", "tcp,actions=set_field:1/1->{}"):
            text = text.format(field.name)
            words = ["ovs-ofctl", "parse-flow", text]
            ours, real = (said(words, own) for own in (True, False))
            if ours[1].splitlines()[:2] != real[1].splitlines()[:2] and text not in OTHERWISE:
                differ.append(f"{text}: {real[1]}{real[2]}\n{ours[1]}{ours[2]}")
    assert not differ, "\n".join(differ)


def test_a_stream_is_read_in_its_own_order(tmp_path: Path) -> None:
    """Whatever that of the packets; the real tool takes a segment that comes too early for lost."""
    there = (CLIENT, SWITCH, (40000, 6653))
    packets = [segment(*there, 100, 2, b""), segment(*there, 109, 0x18, request(2)),
               segment(*there, 101, 0x18, request(1)), segment(*there, 117, 0x19, request(3))]
    file = tmp_path / "pcap"
    file.write_bytes(
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        + b"".join(struct.pack("<IIII", 0, 0, len(p), len(p)) + p for p in packets)
    )
    ran = run_own(["ovs-ofctl", "ofp-parse-pcap", str(file)], dict(os.environ))
    assert re.findall(r"xid=(\w+)", ran.stdout) == ["0x1", "0x2", "0x3"]
