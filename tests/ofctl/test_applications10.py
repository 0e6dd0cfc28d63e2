"""Applications of OpenFlow 1.0 as they are written everywhere: structs packed by hand, prerequisites left
out, defaults of 0. What they make of packets, on the real switch and on ours."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.ofctl.scenario import prepare
from tests.ofproto.ends import RealEnd
from tests.oracle.real import RealSwitch
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages.nicira import FlowModTableId
from vswitch.openflow.messages.packet import PacketIn
from vswitch.openflow.messages.session import SetConfig
from vswitch.openflow.wire.codec import decode, encode

pytestmark = pytest.mark.system

FLOOD, IN_PORT, NONE = 0xFFFB, 0xFFF8, 0xFFFF
NO_BUFFER = 0xFFFFFFFF
ALL_WILD = 0x3FFFFF
W_IN_PORT, W_DL_SRC, W_DL_DST, W_NW_PROTO, W_TP_DST = 1, 4, 8, 0x20, 0x80
W_NW_SRC, W_NW_DST = 0x3F << 8, 0x3F << 14
MACS: Final = {1: bytes.fromhex("500000000001"), 2: bytes.fromhex("500000000002")}
IPS: Final = {1: bytes([10, 0, 0, 1]), 2: bytes([10, 0, 0, 2])}
BROADCAST = b"\xff" * 6

Messages = list[bytes]
App = Callable[[int, bytes, dict[bytes, int]], Messages]
"""What an application does with a packet: (port, packet, its table of addresses) -> messages."""


def message(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBHI", 1, kind, 8 + len(body), 7) + body


def match(wild: int, in_port: int = 0, src: bytes = b"\0" * 6, dst: bytes = b"\0" * 6, nw: bytes = b"\0" * 8,
          proto: int = 0, tp_dst: int = 0, dl_type: int = 0) -> bytes:  # fmt: skip
    """ofp_match (OpenFlow 1.0, 5.2.3); nothing says what needs what."""
    ethernet = struct.pack(">IH", wild, in_port) + src + dst + struct.pack(">HBxH", 0xFFFF, 0, dl_type)
    return ethernet + struct.pack(">BBxx", 0, proto) + nw + struct.pack(">HH", 0, tp_dst)


def output(port: int) -> bytes:
    return struct.pack(">HHHH", 0, 8, port, 0)


def flow_mod(wanted: bytes, actions: bytes, command: int = 0, priority: int = 0x8000, idle: int = 0) -> bytes:
    """ofp_flow_mod with the out_port that a careless application leaves at 0."""
    head = struct.pack(">QHHHHIHH", 0, command, idle, 0, priority, NO_BUFFER, 0, 0)
    return message(14, wanted + head + actions)


def packet_out(port: int, packet: bytes, actions: bytes) -> bytes:
    return message(13, struct.pack(">IHH", NO_BUFFER, port, len(actions)) + actions + packet)


def hub(port: int, packet: bytes, known: dict[bytes, int]) -> Messages:
    return [flow_mod(match(ALL_WILD), output(FLOOD)), packet_out(port, packet, output(FLOOD))]


def pairs(port: int, packet: bytes, known: dict[bytes, int]) -> Messages:
    dst, src = packet[:6], packet[6:12]
    known[src] = port
    if dst not in known:
        return [packet_out(port, packet, output(FLOOD))]
    wild = ALL_WILD & ~(W_DL_SRC | W_DL_DST)
    return [
        flow_mod(match(wild, src=dst, dst=src), output(port)),
        flow_mod(match(wild, src=src, dst=dst), output(known[dst])),
        packet_out(port, packet, output(known[dst])),
    ]


def learning(port: int, packet: bytes, known: dict[bytes, int]) -> Messages:
    """A flow for each packet, in all of its fields."""
    dst, src = packet[:6], packet[6:12]
    known[src] = port
    if dst not in known:
        return [packet_out(port, packet, output(FLOOD))]
    dl_type = int.from_bytes(packet[12:14], "big")
    nw = packet[28:32] + packet[38:42] if dl_type == 0x806 else packet[26:34]
    proto = packet[21] if dl_type == 0x806 else packet[23]
    exact = match(0, port, src, dst, nw, proto, 0, dl_type)
    return [flow_mod(exact, output(known[dst]), idle=60), packet_out(port, packet, output(known[dst]))]


def by_address(port: int, packet: bytes, known: dict[bytes, int]) -> Messages:
    """Flows for IP addresses, without an Ethernet type; modifications first, as some libraries do."""
    to_two = match(ALL_WILD & ~W_NW_DST, nw=bytes(4) + IPS[2])
    web = match(ALL_WILD & ~(W_TP_DST | W_NW_PROTO), proto=6, tp_dst=80)
    return [
        flow_mod(to_two, output(2), command=1), flow_mod(web, output(3), priority=9, command=2),
        flow_mod(match(ALL_WILD & ~W_IN_PORT, in_port=2), output(1)), packet_out(port, packet, output(FLOOD)),
    ]  # fmt: skip


def balancer(port: int, packet: bytes, known: dict[bytes, int]) -> Messages:
    """Rewrites for a virtual address."""
    rewrite = struct.pack(">HH6s6x", 5, 16, MACS[2]) + struct.pack(">HH4s", 7, 8, IPS[2]) + output(2)
    wanted = match(ALL_WILD & ~(W_IN_PORT | 0x10 | W_NW_DST), in_port=1, nw=bytes(4) + IPS[2], dl_type=0x800)
    return [flow_mod(wanted, rewrite), flow_mod(match(ALL_WILD & ~W_IN_PORT, in_port=2), output(1)),
            packet_out(port, packet, output(FLOOD))]  # fmt: skip


def nicira_learn(port: int, packet: bytes, known: dict[bytes, int]) -> Messages:
    texts = ("table=0,actions=learn(table=1,hard_timeout=60,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
             "output:NXM_OF_IN_PORT[]),resubmit(,1)", "table=1,priority=0,actions=FLOOD")  # fmt: skip
    return [encode(FlowModTableId(True), 1, 7)] + [
        encode(parse_flow(text), 1, 7, flow_mod_table_id=True) for text in texts
    ] + [packet_out(port, packet, output(FLOOD))]  # fmt: skip


APPS: Final[dict[str, App]] = {
    "hub": hub, "pairs": pairs, "learning": learning, "by address": by_address, "balancer": balancer,
    "learn": nicira_learn,
}  # fmt: skip


def arp(src: int, dst: int, reply: bool) -> bytes:
    head = (MACS[dst] if reply else BROADCAST) + MACS[src] + b"\x08\x06"
    body = struct.pack(">HHBBH", 1, 0x800, 6, 4, 2 if reply else 1) + MACS[src] + IPS[src]
    return (head + body + (MACS[dst] if reply else bytes(6)) + IPS[dst]).ljust(60, b"\0")


def ping(src: int, dst: int) -> bytes:
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 1, 0x66DD if src == 1 else 0) + IPS[src] + IPS[dst]
    return (MACS[dst] + MACS[src] + b"\x08\x00" + ip + bytes(8)).ljust(60, b"\0")


TALK: Final = (
    (1, arp(1, 2, False)), (2, arp(2, 1, True)), (1, ping(1, 2)), (2, ping(2, 1)), (1, ping(1, 2)),
    (2, ping(2, 1)), (1, arp(1, 2, False)),
)  # fmt: skip


SENT: Final = re.compile(r"port +(\d+): .*\n +tx pkts=(\d+)")


def counts(switch: RealSwitch) -> dict[str, int]:
    """How many packets each port has sent."""
    text = switch.run("ovs-ofctl", "--no-names", "dump-ports", "br0")
    return {port: int(packets) for port, packets in SENT.findall(text)}


def sent(switch: RealSwitch, before: dict[str, int]) -> list[str]:
    """What each port has sent since `before`, and the flows."""
    ports = sorted(f"{port}: {packets - before[port]}" for port, packets in counts(switch).items())
    flows = switch.run("ovs-ofctl", "--no-stats", "dump-flows", "br0").splitlines()
    return ports + sorted(flows)


def run_app(switch: RealSwitch, app: App, no_flood: bool) -> list[list[str]]:
    """What was sent after each packet of a conversation, with `app` as the controller."""
    prepare(switch, afresh=False)
    end = RealEnd(f"{switch.directory}/br0.mgmt", 1)
    known: dict[bytes, int] = {}
    seen: list[list[str]] = []
    try:
        end.ask(SetConfig(0, 0xFFFF))
        switch.run("ovs-ofctl", "add-flow", "br0", "priority=0,actions=CONTROLLER:65535")
        if no_flood:  # a spanning tree's way to take a port out
            switch.run("ovs-ofctl", "mod-port", "br0", "p4", "no-flood")
        before = counts(switch)
        for port, packet in TALK:
            switch.appctl("netdev-dummy/receive", f"p{port}", packet.hex())
            deadline = time.monotonic() + 0.1
            while time.monotonic() < deadline:
                for reply in end.exchange():
                    body = decode(reply).body
                    if isinstance(body, PacketIn):
                        end.exchange(*app(port, bytes(body.packet), known))
            seen.append(sent(switch, before))
    finally:
        end.close()
    return seen


@pytest.mark.parametrize("no_flood", [False, True], ids=["flooding", "spanning tree"])
@pytest.mark.parametrize("name", APPS)
def test_hosts_talk_as_through_the_real_switch(
    switches: tuple[RealSwitch, RealSwitch], name: str, no_flood: bool
) -> None:
    with ThreadPoolExecutor(2) as both:
        real, ours = both.map(lambda switch: run_app(switch, APPS[name], no_flood), switches)
    assert ours == real
