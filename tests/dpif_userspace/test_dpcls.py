"""The datapath classifier agrees with a linear search."""

from __future__ import annotations

import random

from vswitch.dpif.userspace.dpcls import Dpcls
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow

FIELDS = [
    by_name(name)
    for name in (
        "in_port",
        "dl_src",
        "dl_dst",
        "dl_type",
        "nw_src",
        "nw_dst",
        "nw_proto",
        "udp_dst",
        "ipv6_src",
    )
]


def random_flow(rng: random.Random) -> Flow:
    flow = Flow()
    for field in FIELDS:
        flow.set(field, rng.choice((0, 1, (1 << field.n_bits) - 1, rng.getrandbits(2))))
    return flow


def random_mask(rng: random.Random) -> Flow:
    mask = Flow()
    for field in FIELDS:
        kind = rng.randrange(3)
        if kind == 1:
            mask.set_ones(field)
        elif kind == 2:
            mask.set(field, (1 << field.n_bits) - (1 << field.n_bits // 2))
    return mask


def test_random_flows_as_a_linear_search() -> None:
    rng = random.Random(3)
    masks = [random_mask(rng) for _ in range(6)]
    cls = Dpcls()
    flows: list[FlowEntry] = []
    for n in range(3000):
        action = rng.random()
        if action < 0.3:
            mask = rng.choice(masks)
            key = random_flow(rng).masked(mask)
            if not any(flow.key == key and flow.mask == mask for flow in flows):
                entry = cls.add(key, mask, n.to_bytes(16, "big"))
                assert entry is not None
                assert cls.add(key, mask, b"again") is None
                flows.append(entry)
        elif action < 0.45 and flows:
            cls.remove(flows.pop(rng.randrange(len(flows))))
        elif action < 0.46:
            cls.rank()
        else:
            packet = random_flow(rng)
            matching = [f for f in flows if packet.equal_in(f.key, f.mask)]
            found = cls.lookup(packet.words)
            assert (found is None) == (not matching)
            assert found is None or found in matching
    assert sum(subtable.count for subtable in cls.subtables) == len(flows)


def test_a_subtable_goes_with_its_last_flow() -> None:
    cls = Dpcls()
    mask = Flow()
    mask.set_ones(by_name("in_port"))
    key = Flow()
    key.in_port = 4
    entry = cls.add(key, mask, b"1" * 16)
    assert entry is not None
    cls.remove(entry)
    assert cls.subtables == []
    assert cls.lookup(key.words) is None


def test_the_busiest_subtable_comes_first_after_ranking() -> None:
    cls = Dpcls()
    keys = []
    for name in ("in_port", "nw_proto"):
        mask = Flow()
        mask.set_ones(by_name(name))
        key = Flow()
        key.set(by_name(name), 5)
        keys.append(key)
        cls.add(key, mask, name.encode())
    for _ in range(10):
        cls.lookup(keys[1].words)
    cls.rank()
    tried = cls.subtables_tried
    assert cls.lookup(keys[1].words) is not None
    assert cls.subtables_tried == tried + 1
