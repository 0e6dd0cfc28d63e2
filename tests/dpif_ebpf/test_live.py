"""The eBPF datapath under live packets: nothing lost while flows and masks change, many flows, floods."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time

import pytest

from tests.dpif.lab import key_of, put, tcp, udp, ufid_of
from tests.dpif_ebpf.lab import EbpfLab, opened, sh
from vswitch.dpif.actions import (
    CheckPktLen,
    Clone,
    Drop,
    Meter,
    Output,
    Set,
)
from vswitch.dpif.drop_reasons import drop_reason
from vswitch.dpif.ops import FlowDel, FlowPut
from vswitch.dpif.types import MeterBand, MeterConfig
from vswitch.flow import key_attr as attr
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev.links import stats_of

pytestmark = pytest.mark.system


def test_the_kernel_drops_and_the_reason_is_counted(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Drop(0),))
    put(dpif, tcp(2), port_a, (Output(port_b), Drop(5)), 2)
    before = dpif.drops()
    for _ in range(3):
        lab.inject(a, udp())
        lab.inject(a, tcp(2))
    assert lab.sent(dpif, b) == [tcp(2)] * 3
    assert lab.kernel_hits() == 6
    for reason in (drop_reason(0), drop_reason(5)):
        assert dpif.drops()[reason] - before.get(reason, 0) == 3


def test_a_drop_on_some_ways_only_is_counted_by_its_reason(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.meter_set(1, MeterConfig("pktps", (MeterBand("drop", 1, 2),), True))
    put(dpif, udp(), port_a, (CheckPktLen(100, (Drop(11),), (Meter(1), Drop(0), Output(port_b))),))
    put(dpif, tcp(2), port_a, (Clone((Drop(9999),)),), 2)
    long = udp(payload=bytes(200))
    for packet in (long, udp(), udp(), udp(), long, tcp(2)):
        lab.inject(a, packet)
    assert lab.sent(dpif, b) == []
    assert lab.kernel_hits() == 6
    drops = dpif.drops()
    assert [drops.get(drop_reason(n), 0) for n in (11, 0, 9999)] == [2, 2, 1]
    assert dpif.paths()["dropped by a meter"] == 1
    assert dpif.drops() == drops, "none is counted again"


# Under change.

SENDER = """
import socket, sys
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((sys.argv[1], 0))
frame, n = bytes.fromhex(sys.argv[2]), int(sys.argv[3])
for _ in range(n):
    sock.send(frame)
"""


def received(name: str) -> int:
    return stats_of(socket.if_nametoindex(name)).rx_packets


def test_nothing_is_lost_while_flows_and_masks_change(lab: EbpfLab) -> None:
    n = 200_000
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b),), 1, ("nw_proto", "udp_dst"))
    before = received(f"{b}x")
    sender = subprocess.Popen([sys.executable, "-c", SENDER, f"{a}x", udp().hex(), str(n)])
    changes = loads = 0
    fields = ("nw_src", "nw_dst", "udp_dst", "dl_src", "dl_dst", "nw_ttl", "nw_tos")
    other_key = Flow()
    while sender.poll() is None:
        changes += 1
        mac = Set(attr.ETHERNET, bytes(range(12)))
        put(dpif, udp(), port_a, (mac, Output(port_b)) if changes % 2 else (Output(port_b),), 1,
            ("nw_proto", "udp_dst"))
        if changes % 10 == 0:
            loads += 1
            other = udp(dport=9999, sport=changes)
            put(dpif, other, port_a, (), 2 + loads, ("nw_proto", "udp_src", fields[loads % len(fields)]))
            dpif.operate([FlowDel(other_key, ufid_of(1 + loads))])
            other_key = key_of(other, port_a)
        dpif.run()
    end = time.monotonic() + 5
    while received(f"{b}x") - before < n and time.monotonic() < end:
        dpif.run()
    assert received(f"{b}x") - before == n
    assert changes > 100
    assert loads > 5
    assert lab.kernel_hits() == n


def test_a_flood_to_two_hundred_ports_is_the_kernels(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (b, port_b), (_, port_c) = (lab.attach(dpif) for _ in range(3))
    # Copies to few devices stand for a device each, as far as the program is concerned.
    others = [port_b if n % 20 == 7 else port_c for n in range(199)]
    local = next(p.port_no for p in dpif.port_dump() if p.port_no not in (port_a, port_b, port_c))
    put(dpif, udp(), port_a, (*map(Output, others), Output(local), Output(port_b)))
    (flow,) = dpif.flow_dump()
    assert flow.offloaded == "yes"
    lab.inject(a, udp())
    assert lab.sent(dpif, b) == [udp()] * (others.count(port_b) + 1)
    assert lab.kernel_hits() == 1


def test_ten_thousand_flows_under_64_masks(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    ops = []
    for n in range(10_000):
        packet = udp(sport=1 + n // 64, dport=1000 + n % 64, src=f"10.{n >> 8}.{n & 255}.1")
        mask = Flow()
        mask.words[at.W_IN_PORT] = -1
        mask.words[at.W_ETH_TYPE] |= 0xFFFF
        mask.words[at.W_VLAN_TCI] |= 0x1FFF
        mask.words[at.W_NW_PROTO] |= 0xFF
        mask.words[at.W_TP_SRC] = -1 << 32
        mask.words[at.W_NW_DST] |= n % 64
        ops.append(FlowPut(key_of(packet, port_a).masked(mask), mask, (Output(port_b),), ufid_of(n)))
    dpif.operate(ops)
    assert [op.error for op in ops] == [0] * len(ops)
    assert len(dpif.offload.flows) == len(ops), set(dpif.offload.reasons.values())
    # Mask 2 of the address 10.0.0.2 tells n % 64 == 2 and the like apart: 64 masks in all.
    assert len(dpif.offload.tables.subtables) == 64
    r = random.Random(12)
    for n in r.sample(range(10_000), 300):
        packet = udp(sport=1 + n // 64, dport=1000 + n % 64, src=f"10.{n >> 8}.{n & 255}.1")
        lab.inject(a, packet)
        assert lab.sent(dpif, b) == [packet]
    assert lab.kernel_hits() == 300


def test_a_flood_of_one_port_loses_nothing_of_another(lab: EbpfLab) -> None:
    """Without `run`, the ring fills up to the flooding port's quota; the other's packets are all there."""
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.recv_set(True)
    for n in range(5000):
        lab.inject(a, udp(sport=n + 1))
    for n in range(100):
        lab.inject(b, udp(sport=n + 1))
    _, _, lost = dpif.offload.up.account(port_a)
    assert lost > 1000
    assert dpif.offload.up.account(port_b)[2] == 0
    assert f"packets lost on the way up from port {port_a}" in dpif.drops()
    dpif.run()
    ports = []
    while upcalls := dpif.recv(50):
        ports += [int(upcall.key.in_port) for upcall in upcalls]
    assert ports.count(port_b) == 100
    assert f"port {port_a} ({a}): sent up {5000 - lost}, 0 bytes waiting, lost {lost}" in dpif.show_channels()
    lab.inject(a, udp())
    assert len(lab.upcalls(dpif)) == 1, "what was taken makes room again"


def test_the_host_sees_nothing_of_what_comes_in_at_a_port(lab: EbpfLab) -> None:
    """Neither what misses, nor what a flow drops: its own stack would answer this question."""
    dpif = opened(lab)
    name, port = lab.attach(dpif)
    sh(f"ip addr add 10.9.9.9/24 dev {name}", "sysctl -qw net.ipv4.conf.all.arp_ignore=0")
    question = bytes.fromhex("ffffffffffff02000000000a0806000108000604000102000000000a0a090901")
    question += bytes(6) + bytes((10, 9, 9, 9)) + bytes(18)
    lab.inject(name, question)
    lab.settle(dpif, 20)
    put(dpif, question, port, (), fields=("dl_dst",))
    lab.inject(name, question)
    lab.settle(dpif, 20)
    assert lab.kernel_hits() == 1
    assert lab.transmitted(name) == []
    dpif.port_del(port)
    lab.inject(name, question)
    assert len(lab.sent(dpif, name)) == 1, "it is the host's again"
