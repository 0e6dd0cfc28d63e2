"""Labels pushed, changed and popped in the kernel make the packets that the userspace datapath makes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.dpif.lab import put, udp, ufid_of
from tests.dpif_ebpf.lab import EbpfLab
from tests.dpif_ebpf.packets import arp, ipv4, ipv6, mpls
from tests.dpif_ebpf.pair import REDIRECT, Pair
from tests.dpif_ebpf.test_offloads import big_segment, offload_socket
from vswitch.base.clock import Clock
from vswitch.base.unixctl import Commands
from vswitch.dpif.actions import (
    Action,
    Actions,
    AddMpls,
    Clone,
    Output,
    PopMpls,
    PopVlan,
    PushMpls,
    PushVlan,
    Set,
    SetMasked,
)
from vswitch.dpif.ebpf.commands import register
from vswitch.dpif.odp_text import format_ufid
from vswitch.flow import key_attr as attr
from vswitch.netdev.frame import Frame
from vswitch.netdev.gso import segments

pytestmark = pytest.mark.system
ETHERNET = Set(attr.ETHERNET, bytes(range(12)))


def check(pair: Pair, packet: bytes, actions: Actions) -> None:
    verdict, got, counted = pair.in_kernel(packet, (*actions, Output(pair.out)))
    (wanted,) = pair.in_userspace(packet, (*actions, Output(pair.out)))
    assert got == wanted, f"{packet.hex()}\n{actions}\n{got.hex()}\n{wanted.hex()}"
    assert (verdict, counted) == (REDIRECT, 1)


@pytest.mark.parametrize("make", [ipv4, ipv6, arp, mpls], ids=lambda make: make.__name__)
def test_labels_are_pushed(pair: Pair, make: Callable[[random.Random], bytes]) -> None:
    r = random.Random(31)
    for _ in range(20):
        packet = r.randbytes(12) + make(r)
        kind = int.from_bytes(packet[12:14], "big") if make is mpls else r.choice((0x8847, 0x8848))
        first = PushMpls(r.getrandbits(32), kind)
        mask = r.choice((b"\xff\xff\xf0\0", b"\0\0\0\xff"))
        change = SetMasked(attr.MPLS, bytes(a & b for a, b in zip(r.randbytes(4), mask, strict=True)), mask)
        for actions in (
            (first,),
            (ETHERNET, first, PushMpls(r.getrandbits(32), kind)),
            (first, change),
            (AddMpls(r.getrandbits(32), kind, 1), PushVlan(0x8100, 0x1005), PopVlan()),
            (PushVlan(0x8100, 0x1005), first, PopVlan()),
            (first, PopMpls(int.from_bytes(packet[12:14], "big"))),
        ):
            check(pair, packet, actions)


def test_labels_are_popped(pair: Pair) -> None:
    r = random.Random(32)
    for _ in range(60):
        packet = r.randbytes(12) + mpls(r)
        bottom = packet[16] & 1
        kind = 0x0800 if bottom else int.from_bytes(packet[12:14], "big")
        tail: tuple[Action, ...] = r.choice(((), (ETHERNET,)))
        check(pair, packet, (PopMpls(kind), *tail))
        check(pair, packet, (PushVlan(0x8100, 0x1005), PopMpls(kind), PopVlan()))


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ((PushMpls(0x1140, 0x8847), Set(attr.IPV4, bytes(12))), "it sets a header that may not be there"),
        ((PopMpls(0x0800),), "it sets a header that may not be there"),
        ((AddMpls(0x1140, 0x8847, 0),), "it pushes a label in front of the Ethernet header"),
        (
            (PushVlan(0x8100, 0x1001), PushVlan(0x8100, 0x1002), PushMpls(0x1140, 0x8847)),
            "it pushes a label behind two VLAN tags",
        ),
    ],
)
def test_what_stays_in_userspace_says_why(pair: Pair, actions: Actions, why: str) -> None:
    put(pair.ebpf, udp(), pair.port, (*actions, Output(pair.out)))
    (flow,) = pair.ebpf.flow_dump()
    assert flow.offloaded == f"no ({why})"


def test_labelled_packets_pass_from_port_to_port(lab: EbpfLab) -> None:
    """Live: pushed at one port, popped on the way back."""
    dpif = lab.open()
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (PushMpls(0x00064140, 0x8847), Output(port_b)))
    lab.inject(a, udp())
    labelled = udp()[:12] + bytes.fromhex("884700064140") + udp()[14:]
    assert lab.sent(dpif, b) == [labelled]
    put(dpif, labelled, port_b, (PopMpls(0x0800), Output(port_a)), 2)
    lab.inject(b, labelled)
    assert lab.sent(dpif, a) == [udp()]
    assert lab.kernel_hits() == 2


def test_a_gso_packet_is_cut_up_before_it_gets_a_label(lab: EbpfLab) -> None:
    """In userspace: no device knows how to cut up a labelled one."""
    dpif = lab.open()
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    header, packet = big_segment(4000)
    put(dpif, packet, port_a, (PushMpls(0x00064140, 0x8847), Output(port_b)))
    with offload_socket(f"{a}x") as sender:
        sender.send(header + packet)
    got = lab.sent(dpif, b)
    wanted = segments(Frame(packet, 1, 1, 54, 1448, 34, 16))
    assert len(wanted) == 3
    assert got == [w[:12] + bytes.fromhex("884700064140") + w[14:] for w in wanted]
    assert lab.kernel_hits() == 1


def test_why_tells_which_labelled_packets_are_userspaces(lab: EbpfLab) -> None:
    dpif = lab.open()
    (_, port_a), (_, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b),), 1)
    put(dpif, udp(), port_b, (Clone((PushMpls(0x00064140, 0x8847), Output(port_a))),), 2)
    commands = Commands()
    register(commands, Clock())
    plain, labelled = (commands.run("ebpf/why", [format_ufid(ufid_of(n))]) for n in (1, 2))
    assert plain[0]
    assert labelled[0]
    assert plain[1].endswith("\n  in the kernel\n")
    assert labelled[1].endswith("\n  in the kernel, but packets of many segments are cut up in userspace, "
                                "for no program can mark labelled ones\n")
