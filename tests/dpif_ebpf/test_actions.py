"""What the kernel's interpreter makes of packets is what the userspace datapath makes of them.

Random packets with random action lists: the flow is put into the kernel, the packet goes through the whole
classifier and interpreter by BPF_PROG_TEST_RUN (which redirects nowhere), and the same actions are executed
by a userspace datapath over a dummy device. Same bytes, checksums included; the counters agree too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.dpif.lab import key_of
from tests.dpif_ebpf.lab import EbpfLab, own_namespace
from tests.dpif_ebpf.packets import ipv4, ipv6, ordinary
from tests.whole import ALL
from vswitch.base.clock import Clock
from vswitch.dpif.actions import (
    Action,
    Actions,
    CheckPktLen,
    Clone,
    DecTtl,
    Output,
    Recirc,
    Sample,
    Set,
    SetMasked,
    Trunc,
    Userspace,
)
from vswitch.dpif.ebpf.provider import EbpfDpif
from vswitch.dpif.types import Execute, FlowDel, FlowPut
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.ebpf.program import skb
from vswitch.flow import key_attr as attr
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev.dummy import find
from vswitch.netdev.registry import netdev_close, netdev_open

pytestmark = pytest.mark.system
REDIRECT, STOLEN = 7, 4
N_PAIRS = 20_000 if ALL else 600
_numbers = count(1)


class Pair:
    """An eBPF datapath with two ports, and a userspace datapath with a dummy to compare with."""

    def __init__(self, lab: EbpfLab) -> None:
        dpif = lab.open()
        assert isinstance(dpif, EbpfDpif)
        self.ebpf = dpif
        (self.name, self.port), (_, self.out) = lab.attach(dpif), lab.attach(dpif)
        self.ifindex = dpif.offload.by_number[self.port].ifindex
        self.dummy = f"pair{next(_numbers)}"
        self.device = netdev_open(self.dummy, "dummy")
        self.userspace = UserspaceDpif(f"pairdp{next(_numbers)}", Clock(), dummy=True)
        self.to = self.userspace.port_add(self.dummy, "dummy", self.out)

    def close(self) -> None:
        self.userspace.destroy()
        netdev_close(self.device)

    def in_kernel(self, packet: bytes, actions: Actions, mask: Flow | None = None) -> tuple[int, bytes, int]:
        """(verdict, packet, packets counted) of `packet` in the kernel; it must be there."""
        key = key_of(packet, self.port)
        put = FlowPut(key.masked(mask or EXACT), mask or EXACT, actions, b"test".ljust(16))
        self.ebpf.operate([put])
        assert not put.error, put.detail
        offload = self.ebpf.offload
        assert put.ufid in offload.flows, f"{offload.reasons} for {packet.hex()} {actions}"
        offload.settle()
        ran = offload.programs.classify.run(packet, skb(ifindex=self.ifindex))
        gone = FlowDel(key, put.ufid)
        self.ebpf.operate([gone])
        assert gone.stats is not None
        return ran.result, ran.packet, gone.stats.n_packets

    def in_userspace(self, packet: bytes, actions: Actions) -> list[bytes]:
        self.userspace.operate([Execute(packet, key_of(packet, 0), actions)])
        return find(self.dummy).transmitted()


def _exact() -> Flow:
    mask = Flow()
    for word in (at.W_IN_PORT, *range(at.W_PACKET, at.N_WORDS)):
        mask.words[word] = -1
    mask.words[at.W_TP_SRC] = -1 << 32
    return mask


EXACT = _exact()


@pytest.fixture
def pair(require: Callable[..., None]) -> Iterator[Pair]:
    require("root", "netns", "tun", "ebpf")
    with own_namespace():
        lab = EbpfLab()
        made = Pair(lab)
        try:
            yield made
        finally:
            made.close()
            lab.close()


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
        chosen += {6: [(attr.TCP, 4)], 17: [(attr.UDP, 4)]}.get(proto, [])
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
    offload.settle()
    context = skb(ifindex=pair.ifindex)
    taken = sum(offload.programs.classify.run(packet, context).result == REDIRECT for _ in range(4000))
    assert 800 < taken < 1200


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ((Recirc(1), Output(2)), "it recirculates a copy"),
        ((Clone((Set(attr.ETHERNET, bytes(12)), Output(2))), Output(2)), "it changes a copy of the packet"),
        ((Trunc(64), Output(2), Output(2)), "it truncates a packet of which a copy goes on"),
        ((Output(4000),), "port 4000 has no device of the kernel"),
        ((Set(attr.SCTP, bytes(4)), Output(2)), "the kernel's program doesn't set key attribute 17"),
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
