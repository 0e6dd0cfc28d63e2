"""SCTP (RFC 9260), which the real switch tracks only since 3.2: by its ports, with its CRC32c and NAT."""

from __future__ import annotations

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkCookieEcho, SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Packet

from tests.conntrack.pair import OurTracker
from tests.conntrack.tables import flow_table

NEW, ESTABLISHED, INVALID, ANSWER = 0x21, 0x22, 0x30, 0x2A
"""`ct_state` as the tables write it into the Ethernet destination: with trk (0x20), new, est, inv, rpl."""


def sent(tracker: OurTracker, port: int, packet: Packet) -> tuple[int, Packet]:
    """(state without the NAT bits, packet) of what comes out; its CRC32c is right."""
    [(_, data)] = tracker.send(port, bytes(Ether() / packet))
    frame = Ether(data)
    got = frame.payload
    fresh = type(got)(bytes(got))
    del fresh[SCTP].chksum
    assert bytes(type(got)(bytes(fresh))) == bytes(got), "the checksum is wrong"
    return int(frame.dst.replace(":", ""), 16) & 0x3F, got


def test_an_association_by_its_ports(our_tracker: OurTracker) -> None:
    our_tracker.flows(flow_table("plain"))
    there, back = IP(src="10.0.0.1", dst="10.0.0.2"), IP(src="10.0.0.2", dst="10.0.0.1")
    state, _ = sent(our_tracker, 1, there / SCTP(sport=1000, dport=80) / SCTPChunkInit())
    assert state == NEW
    state, _ = sent(our_tracker, 2, back / SCTP(sport=80, dport=1001) / SCTPChunkInitAck())
    assert state == NEW, "of other ports"
    state, _ = sent(our_tracker, 2, back / SCTP(sport=80, dport=1000) / SCTPChunkInitAck())
    assert state == ANSWER
    state, _ = sent(our_tracker, 1, there / SCTP(sport=1000, dport=80) / SCTPChunkCookieEcho())
    assert state == ESTABLISHED
    assert "sctp,orig=(src=10.0.0.1,dst=10.0.0.2,sport=1000,dport=80)" in our_tracker.command(
        "dpctl/dump-conntrack"
    )


def test_a_wrong_checksum_is_invalid(our_tracker: OurTracker) -> None:
    our_tracker.flows(flow_table("plain"))
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / SCTP(sport=1000, dport=80, chksum=0x1234) / SCTPChunkInit()
    [(_, data)] = our_tracker.send(1, bytes(Ether() / packet))
    assert int(Ether(data).dst[-2:], 16) == INVALID
    assert our_tracker.command("dpctl/ct-get-nconns") == "0\n"


def test_source_nat(our_tracker: OurTracker) -> None:
    our_tracker.flows(flow_table("snat"))
    for ip, client, server, outside in (
        (IP, "10.0.0.1", "10.0.0.2", "10.0.0.9"), (IPv6, "fd00::1", "fd00::2", "fd00::9"),
    ):  # fmt: skip
        packet = ip(src=client, dst=server) / SCTP(sport=1000, dport=80) / SCTPChunkInit()
        _, got = sent(our_tracker, 1, packet)
        assert (got.src, got[SCTP].sport) == (outside, 1000)
        answer = ip(src=server, dst=outside) / SCTP(sport=80, dport=1000) / SCTPChunkInitAck()
        state, got = sent(our_tracker, 2, answer)
        assert (state, got.dst, got[SCTP].dport) == (ANSWER, client, 1000)
