"""Masks are in maps: a new one works at once, in whichever order they are tried, and what the cache remembers
never sends a packet to a flow that isn't its own."""

from __future__ import annotations

import random

import pytest

from tests.dpif.lab import key_of, udp, ufid_of
from tests.dpif_ebpf.lab import EbpfLab, opened
from tests.dpif_ebpf.packets import ordinary
from tests.dpif_ebpf.test_actions import random_set
from tests.dpif_ebpf.test_random_tables import random_mask
from vswitch.dpif.actions import Output, Recirc
from vswitch.dpif.ebpf import programs
from vswitch.dpif.ebpf.tables import BUCKETS, WAYS
from vswitch.dpif.ops import FlowDel, FlowPut
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.ebpf.program import skb
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow

pytestmark = pytest.mark.system
REDIRECT = 7


def mask_of(words: dict[int, int]) -> Flow:
    mask = Flow()
    mask.words[at.W_IN_PORT] = -1
    mask.words[at.W_ETH_TYPE] |= 0xFFFF
    mask.words[at.W_VLAN_TCI] |= 0x1FFF
    for word, bits in words.items():
        mask.words[word] |= bits
    return mask


def has_a_key(packet: bytes) -> bool:
    """Whether the program reads it; frames of 802.3 go up."""
    return packet[12:14] != b"\0\x26"


BY_SOURCE = mask_of({at.W_NW_SRC: -1 << 32})


def test_packets_of_more_keys_than_the_cache_holds_find_their_flows(lab: EbpfLab) -> None:
    """Two flows, by the lowest bit of the source, and twice as many sources as there is room for: each packet
    is counted where it belongs, from the cache or not."""
    dpif = opened(lab)
    (_, port_a), (_, port_b) = lab.attach(dpif), lab.attach(dpif)
    bit = mask_of({at.W_NW_SRC: 1 << 32})
    flows = []
    for n in range(2):
        flow = FlowPut(key_of(udp(src=f"10.0.0.{n}"), port_a).masked(bit), bit, (Output(port_b),), ufid_of(n))
        dpif.operate([flow])
        flows.append(flow)
    classify, context = dpif.offload.programs.classify, skb(ifindex=dpif.offload.by_number[port_a].ifindex)
    n = 2 * BUCKETS * WAYS // 32
    for _ in range(2):
        for number in range(n):
            packet = udp(src=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
            assert classify.run(packet, context).result == REDIRECT
    found = {flow.ufid: flow.stats.n_packets for flow in dpif.flow_dump()}
    assert [found[flow.ufid] for flow in flows] == [n, n]
    looked_up = dpif.offload.counters()["kernel lookup"]
    assert n <= looked_up < 1.1 * n, "what was seen once is mostly known the second time"


def test_a_flow_that_has_gone_is_not_what_the_cache_says(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (b, port_b), (c, port_c) = (lab.attach(dpif) for _ in range(3))
    packet = udp()
    for n in range(20):
        target, name = ((port_b, b), (port_c, c))[n % 2]
        key = key_of(packet, port_a).masked(BY_SOURCE)
        dpif.operate([FlowPut(key, BY_SOURCE, (Output(target),), ufid_of(n))])
        for _ in range(2):
            lab.inject(a, packet)
            assert lab.sent(dpif, name) == [packet]
        dpif.operate([FlowDel(key, ufid_of(n))])
        dpif.recv_set(True)
        lab.inject(a, packet)
        assert len(lab.upcalls(dpif)) == 1
    assert lab.kernel_hits() == 40


def test_a_slot_that_another_flow_has_now_is_not_what_the_cache_says(lab: EbpfLab) -> None:
    """The cache's word for a packet is the slot of a flow that isn't its own."""
    dpif = opened(lab)
    (a, port_a), (b, port_b), (c, port_c) = (lab.attach(dpif) for _ in range(3))
    one, other = udp(src="10.0.0.1"), udp(src="10.0.0.2")
    for number, (packet, target) in enumerate(((one, port_b), (other, port_c))):
        key = key_of(packet, port_a).masked(BY_SOURCE)
        dpif.operate([FlowPut(key, BY_SOURCE, (Output(target),), ufid_of(number))])
    lab.inject(a, one)
    assert lab.sent(dpif, b) == [one]
    tables = dpif.offload.tables
    slots = [dpif.offload.flows[ufid_of(n)].slot for n in range(2)]
    changed = 0
    for bucket in range(BUCKETS):
        value = tables.cache.get(bucket)
        assert value is not None
        for way in range(0, 8 * WAYS, 8):
            word = int.from_bytes(value[way : way + 8], "little")
            if word and word & 0xFFFFFFFF == slots[0]:
                wrong = (word - slots[0] + slots[1]).to_bytes(8, "little")
                tables.cache.put(bucket, value[:way] + wrong + value[way + 8 :])
                changed += 1
    assert changed == 1
    lab.inject(a, one)
    assert lab.sent(dpif, b) == [one]
    assert lab.transmitted(c) == []
    assert dpif.offload.counters()["kernel lookup"] == 2, "it was looked up again"


def test_the_busiest_mask_is_tried_first(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (_, port_b) = lab.attach(dpif), lab.attach(dpif)
    masks = [mask_of({at.W_NW_SRC: -1 << 32}), mask_of({at.W_NW_DST: -1}), mask_of({at.W_NW_PROTO: 0xFF})]
    packets = [udp(src=f"10.0.0.{n}", dst=f"10.0.1.{n}") for n in (1, 2)]
    for n, packet in enumerate(packets):
        key = key_of(packet, port_a).masked(masks[n])
        dpif.operate([FlowPut(key, masks[n], (Output(port_b),), ufid_of(n))])
    tables = dpif.offload.tables
    first, second = (dpif.offload.flows[ufid_of(n)].subtable for n in range(2))

    def order() -> list[int]:
        value = tables.order.get(0)
        assert value is not None
        return [n for n in value if n]

    for busy, idle in ((second, first), (first, second)):
        for _ in range(50):
            lab.inject(a, packets[1] if busy is second else packets[0])
        dpif.offload.sync_all()
        for _ in range(8):
            # What was long ago counts less.
            tables.age()
        dpif.offload.sync_all()
        busy.lately += 1
        tables.age()
        assert order() == [busy.number, idle.number]


def test_recirculated_packets_have_masks_of_their_own(lab: EbpfLab) -> None:
    """Of the same bits as those of packets at the port: neither program tries the other's."""
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    mask = BY_SOURCE.copy()
    mask.words[at.W_RECIRC_ID] |= 0xFFFFFFFF << at.S_RECIRC_ID
    key = key_of(udp(), port_a).masked(mask)
    again = key.copy()
    again.words[at.W_RECIRC_ID] |= 7 << at.S_RECIRC_ID
    dpif.operate([FlowPut(key, mask, (Recirc(7),), ufid_of(1)),
                  FlowPut(again, mask, (Output(port_b),), ufid_of(2))])
    lab.inject(a, udp())
    assert lab.sent(dpif, b) == [udp()]
    assert lab.kernel_hits() == 2
    assert sorted(s.again for s in dpif.offload.tables.subtables.values()) == [False, True]


def test_two_flows_of_the_same_packets_are_not_both_in_the_kernel(lab: EbpfLab) -> None:
    dpif = opened(lab)
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    key = key_of(udp(), port_a).masked(BY_SOURCE)
    offload = dpif.offload
    dpif.operate([FlowPut(key, BY_SOURCE, (Output(port_b),), ufid_of(1))])
    same = FlowEntry(key, BY_SOURCE, ufid_of(2))
    same.actions = (Output(port_a),)
    offload.put(same)
    assert offload.reasons[ufid_of(2)] == "another flow has the same packets, or their hash"
    offload.remove(ufid_of(2))
    lab.inject(a, udp())
    assert lab.sent(dpif, b) == [udp()]
    assert lab.kernel_hits() == 1


@pytest.mark.parametrize("loops", [True, False])
def test_random_flows_are_found_whichever_way_masks_are_tried(
    lab: EbpfLab, monkeypatch: pytest.MonkeyPatch, loops: bool
) -> None:
    """With bpf_loop, and as on kernels without it; action lists too."""
    if loops:
        assert programs.kernel_loops(), "this kernel has it"
    monkeypatch.setattr(programs, "kernel_loops", lambda: loops)
    dpif = opened(lab)
    (_, port_a), (_, port_b) = lab.attach(dpif), lab.attach(dpif)
    assert dpif.offload.programs.loops == loops
    classify, context = dpif.offload.programs.classify, skb(ifindex=dpif.offload.by_number[port_a].ifindex)
    r = random.Random(5)
    hits = 0
    for n in range(150):
        packet = ordinary(r)
        key = key_of(packet, port_a)
        mask = random_mask(r, key)
        actions = (*random_set(r, packet, key), Output(port_b)) if n % 2 else (Output(port_b),)
        flow = FlowPut(key.masked(mask), mask, actions, ufid_of(n))
        dpif.operate([flow])
        if ufid_of(n) in dpif.offload.flows:
            hits += 1
            counted, known = dpif.offload.n_hit, has_a_key(packet)
            ran = classify.run(packet, context)
            dpif.offload.sync_all()
            assert dpif.offload.n_hit - counted == known
            assert not known or ran.result == REDIRECT
        dpif.operate([FlowDel(flow.key, flow.ufid)])
        assert flow.ufid not in dpif.offload.flows
    assert hits > 75
    assert dpif.offload.n_hit > 75
    assert dpif.offload.tables.subtables == {}
