"""What the kernel's interpreter makes of packets is what the userspace datapath makes of them.

Random packets with random action lists: the flow is put into the kernel, the packet goes through the whole
classifier and interpreter by BPF_PROG_TEST_RUN (which redirects nowhere), and the same actions are executed
by a userspace datapath over a dummy device. Same bytes, checksums included; the counters agree too.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.dpif.lab import key_of
from tests.dpif_ebpf.packets import ipv4, ipv6, ordinary
from tests.dpif_ebpf.pair import CHECKSUM_COMPLETE, EXACT, REDIRECT, STOLEN, Pair
from tests.whole import ALL
from vswitch.dpif.actions import (
    Action,
    Actions,
    CheckPktLen,
    Clone,
    Ct,
    DecTtl,
    Output,
    PopVlan,
    PushVlan,
    Recirc,
    Sample,
    Set,
    SetMasked,
    Trunc,
    Userspace,
)
from vswitch.dpif.ops import FlowPut
from vswitch.ebpf.program import skb
from vswitch.flow import key_attr as attr
from vswitch.flow.flow import Flow

pytestmark = pytest.mark.system
N_PAIRS = 20_000 if ALL else 600


def random_set(r: random.Random, packet: bytes, key: Flow) -> list[Action]:
    """Some sets that suit the packet, plain and masked."""
    chosen: list[tuple[int, int]] = [(attr.ETHERNET, 12)]
    if key.dl_type == 0x0800:
        chosen.append((attr.IPV4, 12))
    elif key.dl_type == 0x86DD:
        chosen.append((attr.IPV6, 40))
    elif key.dl_type in (0x0806, 0x8035):
        chosen.append((attr.ARP, 24))
    proto = key.nw_proto
    if key.dl_type in (0x0800, 0x86DD) and (key.tp_src or key.tp_dst):
        chosen += {6: [(attr.TCP, 4), (attr.TCP_FLAGS, 2)], 17: [(attr.UDP, 4)]}.get(proto, [])
        if (proto, key.dl_type) == (1, 0x0800):
            chosen.append((attr.ICMP, 2))
        if (proto, key.dl_type) == (58, 0x86DD):
            chosen.append((attr.ICMPV6, 2))
    actions: list[Action] = []
    for kind, size in r.sample(chosen, r.randrange(1, len(chosen) + 1)):
        value = r.randbytes(size)
        if kind == attr.IPV4:
            value = value[:8] + bytes((proto, value[9], value[10], 0))
        elif kind == attr.IPV6:
            label = (int.from_bytes(value[32:36], "big") & 0xFFFFF).to_bytes(4, "big")
            value = value[:32] + label + bytes((proto, value[37], value[38], 0))
        elif kind == attr.ARP:
            value = value[:22] + b"\0\0"
        mask = bytes(r.choice((0, 0xFF, 0xF0, 0x55)) for _ in range(size))
        if kind == attr.IPV6:
            mask = mask[:32] + (int.from_bytes(mask[32:36], "big") & 0xFFFFF).to_bytes(4, "big") + mask[36:]
        masked = SetMasked(kind, bytes(v & m for v, m in zip(value, mask, strict=True)), mask)
        actions.append(masked if r.random() < 0.6 else Set(kind, value))
    return actions


def test_random_sets_make_the_same_packet(pair: Pair) -> None:
    r = random.Random(4)
    for n in range(N_PAIRS):
        packet = ordinary(r)
        if packet[12:14] == b"\x00\x26":
            continue
        actions = (*random_set(r, packet, key_of(packet, 0)), Output(pair.out))
        verdict, got, counted = pair.in_kernel(packet, actions)
        (wanted,) = pair.in_userspace(packet, actions)
        assert got == wanted, f"pair {n}: {packet.hex()}\n{actions}\n{got.hex()}\n{wanted.hex()}"
        assert (verdict, counted) == (REDIRECT, 1)


def test_what_the_device_summed_up_is_still_right_after_changes(pair: Pair) -> None:
    """The kernel compares CHECKSUM_COMPLETE's sum with the packet as it is afterwards (EBADMSG); before
    Linux 6.16 it only runs the programs."""
    flags = CHECKSUM_COMPLETE if pair.sums_are_checked() else 0
    r = random.Random(14)
    for _ in range(300):
        packet = ordinary(r)
        if packet[12:14] == b"\x00\x26":
            continue
        key = key_of(packet, 0)
        actions = random_set(r, packet, key)
        if key.dl_type in (0x0800, 0x86DD):
            actions.insert(0, DecTtl(()))
        wanted = pair.in_userspace(packet, (*actions, Output(pair.out)))
        verdict, got, _ = pair.in_kernel(packet, (*actions, Output(pair.out)), flags=flags)
        assert ([got] if verdict == REDIRECT else []) == wanted, f"{packet.hex()} {actions}"


def test_a_second_tag_goes_on_changes_and_comes_off(pair: Pair) -> None:
    r = random.Random(15)
    tci, other = b"\x00\x07", b"\x0f\xff"
    for actions in (
        (PushVlan(0x8100, 0x1005), PushVlan(0x88A8, 0x3006)),
        (PushVlan(0x8100, 0x1005), PushVlan(0x88A8, 0x3006), SetMasked(attr.VLAN, tci, other)),
        (PushVlan(0x8100, 0x1005), PushVlan(0x8100, 0x3006), PopVlan()),
        (PushVlan(0x8100, 0x1005), PushVlan(0x88A8, 0x3006), PopVlan(), SetMasked(attr.VLAN, tci, other)),
        (PushVlan(0x8100, 0x1005), PushVlan(0x88A8, 0x3006), PopVlan(), PopVlan(), PushVlan(0x8100, 0x1001)),
    ):
        for _ in range(10):
            packet = ordinary(r)
            if packet[12:14] != b"\x00\x26":
                verdict, got, _ = pair.in_kernel(packet, (*actions, Output(pair.out)))
                # The outermost tag lies beside the packet, where BPF_PROG_TEST_RUN shows it to nobody.
                wanted = pair.in_userspace(packet, (*actions, PopVlan(), Output(pair.out)))
                assert (verdict, [got]) == (REDIRECT, wanted), actions


@pytest.mark.parametrize("make", [ipv4, ipv6], ids=["ipv4", "ipv6"])
def test_dec_ttl_ends_where_userspace_ends_it(pair: Pair, make: Callable[[random.Random], bytes]) -> None:
    r = random.Random(5)
    actions = (DecTtl(()), Output(pair.out))
    over = 0
    for _ in range(100):
        packet = bytes(12) + make(r)
        verdict, got, _ = pair.in_kernel(packet, actions)
        wanted = pair.in_userspace(packet, actions)
        if wanted:
            assert (verdict, [got]) == (REDIRECT, wanted)
        else:
            over += 1
            assert verdict == STOLEN
    assert over > 5


def test_branches_and_truncation(pair: Pair) -> None:
    r = random.Random(6)
    short, long = bytes(12) + ipv4(r, 17).ljust(60, b"\0"), bytes(12) + ipv4(r, 17).ljust(200, b"\0")
    change = Set(attr.ETHERNET, bytes(range(12)))
    for actions in (
        (CheckPktLen(100, (change, Output(pair.out)), (Output(pair.out),)),),
        (Clone((change, Output(pair.out))),),
        (Sample(0xFFFFFFFF, (change, Output(pair.out))),),
        (Trunc(64), Output(pair.out)),
    ):
        for packet in (short, long):
            verdict, got, _ = pair.in_kernel(packet, actions)
            assert (verdict, [got]) == (REDIRECT, pair.in_userspace(packet, actions)), actions


def test_sampling_takes_its_share(pair: Pair) -> None:
    packet = bytes(12) + ipv4(random.Random(7), 17)
    actions: Actions = (Sample(0xFFFFFFFF // 4, (Output(pair.out),)),)
    key = key_of(packet, pair.port)
    pair.ebpf.operate([FlowPut(key.masked(EXACT), EXACT, actions, b"s" * 16)])
    offload = pair.ebpf.offload
    context = skb(ifindex=pair.ifindex)
    taken = sum(offload.programs.classify.run(packet, context).result == REDIRECT for _ in range(4000))
    assert 800 < taken < 1200


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ((Recirc(1), Output(2)), "it recirculates a copy"),
        ((Clone((Set(attr.ETHERNET, bytes(12)), Output(2))), Output(2)), "it changes a copy of the packet"),
        (
            (PushVlan(0x8100, 0x1001), PushVlan(0x8100, 0x1002), PushVlan(0x8100, 0x1003), Output(2)),
            "it pushes a third VLAN tag",
        ),
        ((Trunc(64), Output(2), Output(2)), "it truncates a packet of which a copy goes on"),
        ((Ct(), Output(2)), "it tracks connections"),
        ((Output(4000),), "port 4000 has no device of the kernel"),
        ((Set(attr.SCTP, bytes(4)), Output(2)), "it sets ports of SCTP, which the kernel's program can't"),
        (tuple(Userspace(0, b"x") for _ in range(40)), "it has too many actions"),
    ],
)
def test_what_stays_in_userspace_says_why(pair: Pair, actions: Actions, why: str) -> None:
    packet = bytes(12) + ipv4(random.Random(8), 17)
    key = key_of(packet, pair.port)
    put = FlowPut(key.masked(EXACT), EXACT, actions, b"why".ljust(16))
    pair.ebpf.operate([put])
    assert not put.error
    (flow,) = pair.ebpf.flow_dump()
    assert (flow.offloaded, flow.dp_layer) == (f"no ({why})", "ovs")
