"""Packets with work left to a device: partial checksums and GSO pass the eBPF datapath as they are, and are
right when the work is done, whatever was changed on the way."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.dpif.lab import key_of, put, tcp
from tests.dpif_ebpf.lab import EbpfLab, opened, sh
from tests.dpif_ebpf.packets import ipv4, ipv6
from tests.dpif_ebpf.pair import EXACT, Pair
from tests.dpif_ebpf.test_actions import random_set
from vswitch.dpif.actions import Action, Actions, DecTtl, Output, PushMpls, Set, SetMasked
from vswitch.dpif.ops import Execute, FlowDel, FlowPut
from vswitch.flow import key_attr as attr
from vswitch.packet.checksum import csum

pytestmark = pytest.mark.system
PACKET_VNET_HDR, SOL_PACKET, PACKET_IGNORE_OUTGOING = 15, 263, 23
VNET = struct.Struct("=BBHHHH")
NEEDS_CSUM = 1


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


def completed(packet: bytes, start: int, offset: int) -> bytes:
    """`packet` when a device has made the checksum that lies `offset` behind `start`."""
    summed = packet[start:] + bytes(len(packet[start:]) % 2)
    made = int(csum(summed)) or 0xFFFF
    return packet[: start + offset] + made.to_bytes(2, "big") + packet[start + offset + 2 :]


def partial(packet: bytes, start: int, offset: int, protocol: int) -> bytes:
    """`packet` with the pseudo header's sum in place of the checksum, as a host's stack leaves it."""
    end = len(packet)
    if packet[12:14] == b"\x08\0":
        end = 14 + int.from_bytes(packet[16:18], "big")
        addresses = packet[26:34]
    else:
        end = 54 + int.from_bytes(packet[18:20], "big")
        addresses = packet[22:54]
    pseudo = addresses + struct.pack(">II", end - start, protocol)
    half = (int(csum(pseudo)) ^ 0xFFFF).to_bytes(2, "big")
    return packet[: start + offset] + half + packet[start + offset + 2 : end]


@contextmanager
def flow_in_kernel(pair: Pair, packet: bytes, actions: Actions) -> Iterator[None]:
    key = key_of(packet, pair.port)
    flow = FlowPut(key.masked(EXACT), EXACT, actions, b"offload".ljust(16))
    pair.ebpf.operate([flow])
    assert flow.ufid in pair.ebpf.offload.flows, pair.ebpf.offload.reasons
    try:
        yield
    finally:
        gone = FlowDel(key, flow.ufid)
        pair.ebpf.operate([gone])
        assert gone.stats is not None
        assert gone.stats.n_packets == 1


@pytest.mark.parametrize("make", [ipv4, ipv6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("protocol", [6, 17], ids=["tcp", "udp"])
def test_partial_checksums_are_right_in_the_end(
    pair: Pair, make: Callable[[random.Random, int], bytes], protocol: int
) -> None:
    r = random.Random(21)
    offset = {6: 16, 17: 6}[protocol]
    with offload_socket(f"{pair.name}x") as sender, offload_socket(f"{pair.out_name}x") as receiver:
        for _ in range(40):
            packet = r.randbytes(6).replace(b"\x01", b"\x02") + r.randbytes(6) + make(r, protocol)
            packet = bytes((packet[0] & 0xFE,)) + packet[1:]
            start = 14 + 4 * (packet[14] & 15) if make is ipv4 else 54
            packet = partial(packet, start, offset, protocol)
            key = key_of(packet, 0)
            actions: list[Action] = random_set(r, packet, key)
            if packet[22 if make is ipv4 else 21] > 1:
                actions.insert(0, DecTtl(()))
            (wanted,) = pair.in_userspace(completed(packet, start, offset), (*actions, Output(pair.out)))
            with flow_in_kernel(pair, packet, (*actions, Output(pair.out))):
                sender.send(VNET.pack(NEEDS_CSUM, 0, 0, 0, start, offset) + packet)
                got = receiver.recv(70_000)
            flags, gso, _length, _size, at, to = VNET.unpack_from(got)
            assert (flags & NEEDS_CSUM, gso, at, to) == (NEEDS_CSUM, 0, start, offset)
            found = completed(got[VNET.size :], start, offset)
            assert found == wanted, f"{packet.hex()}\n{actions}\n{found.hex()}\n{wanted.hex()}"


def test_a_gso_packet_is_changed_whole(pair: Pair) -> None:
    header, packet = big_segment(65_000)
    changes: tuple[Action, ...] = (
        DecTtl(()),
        Set(attr.ETHERNET, bytes.fromhex("020000000055020000000066")),
        SetMasked(attr.IPV4, bytes.fromhex("0a0900000a08000000000000"),
                  bytes.fromhex("ffff0000ffff000000000000")),
        Set(attr.TCP, bytes.fromhex("1f901388")),
    )
    (wanted,) = pair.in_userspace(completed(packet, 34, 16), (*changes, Output(pair.out)))
    with (
        offload_socket(f"{pair.name}x") as sender,
        offload_socket(f"{pair.out_name}x") as receiver,
        flow_in_kernel(pair, packet, (*changes, Output(pair.out))),
    ):
        sender.send(header + packet)
        got = receiver.recv(70_000)
    flags, gso, _length, size, start, offset = VNET.unpack_from(got)
    assert (flags & NEEDS_CSUM, gso, size, start, offset) == (NEEDS_CSUM, 1, 1448, 34, 16)
    assert completed(got[VNET.size :], 34, 16) == wanted


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_segments_that_a_label_makes_longer_than_the_mtu_leave(lab: EbpfLab, mtu: int) -> None:
    """Cut up in userspace, to the last byte of what the device lets pass; a packet socket refuses them."""
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    if mtu != 1500:
        for name in (a, f"{a}x", b, f"{b}x"):
            sh(f"ip link set {name} mtu {mtu}")
        dpif.run()
    header, packet = big_segment(3 * (mtu - 40))
    put(dpif, packet, port_a, (PushMpls(0x00064140, 0x8847), Output(port_b)))
    with offload_socket(f"{a}x") as sender:
        sender.send(header[:4] + struct.pack("=H", mtu - 40) + header[6:] + packet)
    got = lab.sent(dpif, b)
    assert [len(data) for data in got] == [14 + 4 + mtu] * 3
    assert {data[12:18] for data in got} == {bytes.fromhex("884700064140")}
    assert dpif.offload.by_number[port_b].port.netdev.stats().custom["tx_refused"] == 0
