"""Random flow tables and packets for them: the eBPF datapath sends what the userspace datapath sends, and
counts what it counts, with live packets and by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from tests.dpif.lab import key_of, ufid_of
from tests.dpif_ebpf.lab import EbpfLab, opened
from tests.dpif_ebpf.packets import ordinary
from tests.dpif_ebpf.pair import REDIRECT
from tests.dpif_ebpf.test_actions import random_set
from tests.whole import ALL
from vswitch.base.clock import Clock
from vswitch.dpif.actions import Action, Actions, Clone, Output, PopVlan, PushMpls, PushVlan, SetMasked
from vswitch.dpif.ebpf.provider import EbpfDpif
from vswitch.dpif.ops import FlowPut
from vswitch.dpif.provider import Dpif
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.ebpf.program import skb
from vswitch.flow import key_attr as attr
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev.dummy import find
from vswitch.netdev.registry import netdev_close, netdev_open

pytestmark = pytest.mark.system
N_TABLES = 200 if ALL else 22
PACKETS_A_TABLE = 100
_numbers = count(1)


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


def random_actions(r: random.Random, packet: bytes, ports: list[int], tags: bool) -> Actions:
    """Outputs with changes between them, a drop now and then; VLAN tags are pushed and popped if `tags`."""
    if r.random() < 0.1:
        return ()
    key = key_of(packet, 0)
    actions: list[Action] = []
    n_tags = int(bool(key.vlan_tci))
    labelled = False
    for _ in range(r.randrange(1, 4)):
        kind = r.random()
        if kind < 0.3 and tags:
            tci = r.randrange(0x1000) | 0x1000 | r.randrange(8) << 13
            push = n_tags == 0 or (n_tags == 1 and r.random() < 0.3)
            actions.append(PushVlan(r.choice((0x8100, 0x88A8)), tci) if push else PopVlan())
            n_tags += 1 if push else -1
        elif kind < 0.4 and n_tags:
            actions.append(SetMasked(attr.VLAN, b"\x00\x07", b"\x0f\xff"))
        elif kind < 0.5:
            actions.append(Clone((Output(r.choice(ports)),)))
        elif kind < 0.7 and n_tags < 2 and not labelled:
            actions += random_set(r, packet, key)
        elif kind < 0.9 and n_tags < 2:
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


class Sides:
    """The eBPF datapath and a userspace one with dummies, three ports each. Packets come in at the first."""

    def __init__(self, lab: EbpfLab) -> None:
        self.lab = lab
        self.ebpf: EbpfDpif = opened(lab)
        self.names, self.numbers = zip(*(lab.attach(self.ebpf) for _ in range(3)), strict=True)
        self.dummies = [f"live{next(_numbers)}" for _ in self.names]
        self.devices = [netdev_open(name, "dummy") for name in self.dummies]
        self.userspace = UserspaceDpif(f"livedp{next(_numbers)}", Clock(), dummy=True)
        for name, number in zip(self.dummies, self.numbers, strict=True):
            self.userspace.port_add(name, "dummy", number)

    def close(self) -> None:
        self.userspace.destroy()
        for device in self.devices:
            netdev_close(device)

    def make_table(self, r: random.Random, packets: list[bytes], tags: bool) -> None:
        """The same flows for `packets` on both sides."""
        self.ebpf.flow_flush()
        self.userspace.flow_flush()
        masks: dict[int, Flow] = {}
        flows: dict[bytes, tuple[Flow, Flow, Actions]] = {}
        for packet in packets:
            key = key_of(packet, self.numbers[0])
            mask = masks.setdefault(key.dl_type, random_mask(r, key))
            masked = key.masked(mask)
            if masked.key() not in flows:
                actions = random_actions(r, packet, list(self.numbers[1:]), tags)
                flows[masked.key()] = (masked, mask, actions)
        both((self.ebpf, self.userspace), list(flows.values()))

    def wanted(self, packets: list[bytes]) -> list[list[bytes]]:
        """What the userspace datapath sends by each port for `packets`."""
        for packet in packets:
            find(self.dummies[0]).inject(packet)
        while self.userspace.run():
            pass
        return [sorted(find(name).transmitted()) for name in self.dummies]

    def take(self, n: int) -> list[list[bytes]]:
        """What the eBPF datapath has sent by each port, when it is `n` packets in all, or after a while."""
        got: list[list[bytes]] = [[] for _ in self.names]
        end = time.monotonic() + 5
        while True:
            self.lab.turn(self.ebpf)
            for have, name in zip(got, self.names, strict=True):
                have += self.lab.transmitted(name)
            if sum(map(len, got)) >= n or time.monotonic() > end:
                return [sorted(have) for have in got]


@pytest.fixture
def sides(lab: EbpfLab) -> Iterator[Sides]:
    made = Sides(lab)
    yield made
    made.close()


def some_packets(r: random.Random) -> list[bytes]:
    return [p for p in (ordinary(r) for _ in range(PACKETS_A_TABLE)) if p[12:14] != b"\x00\x26"]


def test_live_packets_leave_as_from_the_userspace_datapath(sides: Sides) -> None:
    r = random.Random(11)
    n = in_kernel = 0
    for table in range(N_TABLES):
        packets = some_packets(r)
        for i in range(0, len(packets), 4):
            tag = b"\x81\x00" + r.choice((b"\x00\x05", b"\x60\x07"))
            packets[i] = packets[i][:12] + tag + packets[i][12:]
        sides.make_table(r, packets, tags=True)
        wanted = sides.wanted(packets)
        before = sides.lab.kernel_hits()
        for packet in packets:
            sides.lab.inject(sides.names[0], packet)
        assert sides.take(sum(map(len, wanted))) == wanted, f"table {table}"
        assert counters(sides.ebpf) == counters(sides.userspace), f"table {table}"
        n += len(packets)
        in_kernel += sides.lab.kernel_hits() - before
    assert n >= 2000
    assert in_kernel > 0.6 * n, f"{in_kernel} of {n} in the kernel"


def test_what_the_programs_make_of_packets_is_what_the_userspace_datapath_does(sides: Sides) -> None:
    """By BPF_PROG_TEST_RUN: copies leave by the ports, the packet itself comes back with its verdict. (It
    shows no tag beside the packet, and puts none there: tags are live packets' matter.)"""
    r = random.Random(12)
    n = in_kernel = 0
    classify = sides.ebpf.offload.programs.classify
    context = skb(ifindex=sides.ebpf.offload.by_number[sides.numbers[0]].ifindex)
    for table in range(N_TABLES):
        packets = some_packets(r)
        sides.make_table(r, packets, tags=False)
        wanted = sides.wanted(packets)
        before = sides.lab.kernel_hits()
        ran = [classify.run(packet, context) for packet in packets]
        back = Counter(one.packet for one in ran if one.result == REDIRECT)
        got = sides.take(sum(map(len, wanted)) - back.total())
        for sent, want in zip(got, wanted, strict=True):
            missing = Counter(want)
            missing.subtract(sent)
            assert min(missing.values(), default=0) >= 0, f"table {table}: sent what is not to be"
            back.subtract(missing)
        assert not any(back.values()), f"table {table}: {back}"
        assert counters(sides.ebpf) == counters(sides.userspace), f"table {table}"
        n += len(packets)
        in_kernel += sides.lab.kernel_hits() - before
    assert n >= 2000
    assert in_kernel > 0.9 * n, f"{in_kernel} of {n} in the kernel"
