"""The eBPF datapath under live packets: the same packets and counters as the userspace datapath, nothing lost
while flows and masks change, many flows, and GSO packets whole."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
import time
from itertools import count

import pytest

from tests.dpif.lab import key_of, put, tcp, udp, ufid_of
from tests.dpif_ebpf.lab import EbpfLab, sh
from tests.dpif_ebpf.packets import ordinary
from tests.dpif_ebpf.test_actions import random_set
from tests.whole import ALL
from vswitch.base.clock import Clock
from vswitch.dpif.actions import (
    Action,
    Actions,
    CheckPktLen,
    Clone,
    Drop,
    Meter,
    Output,
    PopVlan,
    PushMpls,
    PushVlan,
    Set,
    SetMasked,
)
from vswitch.dpif.drop_reasons import drop_reason
from vswitch.dpif.ebpf.provider import EbpfDpif
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import Execute, FlowDel, FlowPut, MeterBand, MeterConfig
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.flow import key_attr as attr
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev.dummy import find
from vswitch.netdev.links import stats_of
from vswitch.netdev.registry import netdev_close, netdev_open
from vswitch.packet.checksum import csum

pytestmark = pytest.mark.system
N_TABLES = 200 if ALL else 20
PACKETS_A_TABLE = 100
PACKET_VNET_HDR, SOL_PACKET, PACKET_IGNORE_OUTGOING = 15, 263, 23
VNET = struct.Struct("=BBHHHH")
_numbers = count(1)


def opened(lab: EbpfLab) -> EbpfDpif:
    dpif = lab.open()
    assert isinstance(dpif, EbpfDpif)
    return dpif


# The same as the userspace datapath.


def random_mask(r: random.Random, key: Flow) -> Flow:
    """A mask that decides by port, Ethernet type, tag and some more, a few of these in part."""
    mask = Flow()
    words = mask.words
    words[at.W_IN_PORT] = -1
    words[at.W_ETH_TYPE] |= 0xFFFF
    words[at.W_VLAN_TCI] |= r.choice((0xFFFF, 0x1FFF))
    if key.dl_type in (0x0800, 0x86DD):
        words[at.W_NW_PROTO] |= 0xFF | 3 << at.S_NW_FRAG
    choices: list[tuple[int, int]] = [
        (at.W_ETH_DST, -1 << 16), (at.W_ETH_SRC, -1 << 16), (at.W_ETH_DST, 0xFFFF << 16),
    ]
    if key.dl_type in (0x0800, 0x0806, 0x8035):
        choices += [(at.W_NW_SRC, -1), (at.W_NW_SRC, 0xFFFFFF00), (at.W_NW_SRC, -1 << 40)]
    if key.dl_type == 0x86DD:
        choices += [(at.W_IPV6_SRC, -1), (at.W_IPV6_DST + 1, -1), (at.W_IPV6_LABEL, 0xFFFFF << 32)]
    if key.dl_type in (0x0800, 0x86DD):
        choices += [(at.W_TP_SRC, -1 << 48), (at.W_TP_SRC, 0xFFFF << 32), (at.W_NW_TTL, 0xFF << 8),
                    (at.W_TCP_FLAGS, 0xFFF)]
    for word, bits in r.sample(choices, r.randrange(1, 4)):
        words[word] |= bits
    return mask


def random_actions(r: random.Random, packet: bytes, ports: list[int]) -> Actions:
    """Outputs with changes between them, a drop now and then."""
    if r.random() < 0.1:
        return ()
    key = key_of(packet, 0)
    actions: list[Action] = []
    tags = int(bool(key.vlan_tci))
    labelled = False
    for _ in range(r.randrange(1, 4)):
        kind = r.random()
        if kind < 0.3:
            tci = r.randrange(0x1000) | 0x1000 | r.randrange(8) << 13
            push = tags == 0 or (tags == 1 and r.random() < 0.3)
            actions.append(PushVlan(r.choice((0x8100, 0x88A8)), tci) if push else PopVlan())
            tags += 1 if push else -1
        elif kind < 0.4 and tags:
            actions.append(SetMasked(attr.VLAN, b"\x00\x07", b"\x0f\xff"))
        elif kind < 0.5:
            actions.append(Clone((Output(r.choice(ports)),)))
        elif kind < 0.7 and tags < 2 and not labelled:
            actions += random_set(r, packet, key)
        elif kind < 0.9 and tags < 2:
            actions.append(PushMpls(r.getrandbits(32), r.choice((0x8847, 0x8848))))
            labelled = True
        actions.append(Output(r.choice(ports)))
    return tuple(actions)


def both(dpifs: tuple[Dpif, Dpif], puts: list[tuple[Flow, Flow, Actions]]) -> None:
    for dpif in dpifs:
        ops = [FlowPut(key, mask, actions, ufid_of(n)) for n, (key, mask, actions) in enumerate(puts)]
        dpif.operate(ops)
        assert [op.error for op in ops] == [0] * len(ops)


def counters(dpif: Dpif) -> dict[bytes, tuple[int, int, int]]:
    return {f.ufid: (f.stats.n_packets, f.stats.n_bytes, f.stats.tcp_flags) for f in dpif.flow_dump()}


def test_random_tables_forward_as_the_userspace_datapath_does(lab: EbpfLab) -> None:
    r = random.Random(11)
    ebpf = opened(lab)
    names, numbers = zip(*(lab.attach(ebpf) for _ in range(3)), strict=True)
    dummies = [f"live{next(_numbers)}" for _ in names]
    devices = [netdev_open(name, "dummy") for name in dummies]
    userspace = UserspaceDpif(f"livedp{next(_numbers)}", Clock(), dummy=True)
    for name, number in zip(dummies, numbers, strict=True):
        userspace.port_add(name, "dummy", number)
    forwarded = in_kernel = 0
    try:
        for table in range(N_TABLES):
            packets = [p for p in (ordinary(r) for _ in range(PACKETS_A_TABLE)) if p[12:14] != b"\x00\x26"]
            for n in range(0, len(packets), 4):
                tag = b"\x81\x00" + r.choice((b"\x00\x05", b"\x60\x07"))
                packets[n] = packets[n][:12] + tag + packets[n][12:]
            masks: dict[int, Flow] = {}
            flows: dict[bytes, tuple[Flow, Flow, Actions]] = {}
            for packet in packets:
                key = key_of(packet, numbers[0])
                mask = masks.setdefault(key.dl_type, random_mask(r, key))
                masked = key.masked(mask)
                if masked.key() not in flows:
                    flows[masked.key()] = (masked, mask, random_actions(r, packet, list(numbers[1:])))
            both((ebpf, userspace), list(flows.values()))
            before = lab.kernel_hits()
            for packet in packets:
                find(dummies[0]).inject(packet)
                lab.inject(names[0], packet)
            while userspace.run():
                pass
            wanted = [sorted(find(name).transmitted()) for name in dummies]
            got: list[list[bytes]] = [[] for _ in names]
            end = time.monotonic() + 5
            while [len(g) for g in got] != [len(w) for w in wanted] and time.monotonic() < end:
                lab.turn(ebpf)
                for have, name in zip(got, names, strict=True):
                    have += lab.transmitted(name)
            assert [sorted(g) for g in got] == wanted, f"table {table}"
            assert counters(ebpf) == counters(userspace), f"table {table}"
            forwarded += len(packets)
            in_kernel += lab.kernel_hits() - before
            ebpf.flow_flush()
            userspace.flow_flush()
    finally:
        userspace.destroy()
        for device in devices:
            netdev_close(device)
    assert in_kernel > 0.6 * forwarded, f"{in_kernel} of {forwarded} in the kernel"


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


# Offloads.


def offload_socket(name: str) -> socket.socket:
    """A packet socket on `name` that speaks virtio_net_hdr."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.bind((name, 3))
    sock.settimeout(3)
    return sock


def big_segment(size: int) -> tuple[bytes, bytes]:
    """A virtio_net_hdr and a TCP segment of `size` payload bytes, its checksum partial."""
    small = tcp(0x10)
    total = 40 + size
    ip = small[14:16] + total.to_bytes(2, "big") + small[18:24] + b"\0\0" + small[26:34]
    ip = ip[:10] + int(csum(ip)).to_bytes(2, "big") + ip[12:]
    pseudo = ip[12:20] + struct.pack(">HH", 6, 20 + size)
    partial = (int(csum(pseudo)) ^ 0xFFFF).to_bytes(2, "big")
    header = small[34:50] + partial + small[52:54]
    return VNET.pack(1, 1, 54, 1448, 34, 16), small[:14] + ip + header + bytes(size)


def test_a_gso_packet_passes_whole_in_the_kernel_and_by_way_of_userspace(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.recv_set(True)
    header, packet = big_segment(65_000)
    with offload_socket(f"{a}x") as sender, offload_socket(f"{b}x") as receiver:
        sender.send(header + packet)
        (upcall,) = lab.upcalls(dpif)
        assert upcall.packet == packet
        put(dpif, packet, port_a, (Output(port_b),))
        key = key_of(packet, port_a)
        dpif.operate([Execute(upcall.packet, key, (Output(port_b),), offload=upcall.offload)])
        by_userspace = receiver.recv(70_000)
        sender.send(header + packet)
        by_kernel = receiver.recv(70_000)
        assert lab.kernel_hits() == 1
    for got in (by_userspace, by_kernel):
        assert got[VNET.size :] == packet
        flags, gso, _length, size, start, offset = VNET.unpack_from(got)
        assert (flags & 1, gso, size, start, offset) == (1, 1, 1448, 34, 16)
