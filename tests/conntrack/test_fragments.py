"""Reassembly by itself: limits, time, and the text of `dpctl/ipf-get-status`."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.conntrack.pair import OurTracker, RealTracker
from tests.conntrack.tables import flow_table
from vswitch.base import coverage


def pieces(identification: int, size: int = 1400) -> list[bytes]:
    packet = IP(src="10.0.0.1", dst="10.0.0.2", id=identification) / UDP(sport=1000, dport=53)
    return [bytes(Ether() / piece) for piece in fragment(packet / Raw(bytes(3000)), size)]


def test_what_never_becomes_whole_is_dropped_and_counted(our_tracker: OurTracker) -> None:
    our_tracker.flows(flow_table("plain"))
    before = coverage.counter("datapath_drop_fragment_expired").total
    assert our_tracker.send(1, pieces(1)[0]) == []
    assert "num frag: 1" in our_tracker.command("dpctl/ipf-get-status")
    our_tracker.warp(14_999)
    assert "num frag: 1" in our_tracker.command("dpctl/ipf-get-status")
    our_tracker.warp(1)
    assert "num frag: 0" in our_tracker.command("dpctl/ipf-get-status")
    assert coverage.counter("datapath_drop_fragment_expired").total == before + 1


def test_a_flood_of_fragments_is_held_up_to_the_limit_and_let_go(our_tracker: OurTracker) -> None:
    our_tracker.flows(flow_table("plain"))
    our_tracker.command("dpctl/ipf-set-max-nfrags", "50")
    for identification in range(200):
        our_tracker.send(1, pieces(identification)[0])
    assert "num frag: 50" in our_tracker.command("dpctl/ipf-get-status")
    our_tracker.warp(15_000)
    assert "num frag: 0" in our_tracker.command("dpctl/ipf-get-status")
    out = [packet for piece in pieces(7) for packet in our_tracker.send(1, piece)]
    assert len(out) == 3


def test_status_is_the_real_ones_text(real_tracker: RealTracker, our_tracker: OurTracker) -> None:
    lines = []
    for tracker in (real_tracker, our_tracker):
        tracker.flows(flow_table("plain"))
        tracker.command("dpctl/ipf-set-min-frag", "v4", "1200")
        tracker.send(1, pieces(4711)[0])
        text = tracker.command("dpctl/ipf-get-status", "-m")
        tracker.send(1, pieces(4711)[1])
        tracker.send(1, pieces(4711)[2])
        shown = [line for line in text.split("\n") if "ip_id=4711" in line or "(src=" not in line]
        # The real switch, which many tests share, has counted more.
        lines.append([line if line.startswith("(") else line.split(":")[0] for line in shown])
        assert "num frag: " in text
    assert lines[0] == lines[1]
