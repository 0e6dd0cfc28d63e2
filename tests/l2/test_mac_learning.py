"""The MAC learning table: learning, moving, ageing, eviction, and the tags that tell of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vswitch.base.tags import TagSet
from vswitch.l2.mac_learning import MAC_ENTRY_AGE_STATIC_ENTRY, MacLearning

A = 0x020000000001
B = 0x020000000002
MULTICAST = 0x01005E000001


def tagged(tag: int) -> TagSet:
    tags = TagSet()
    tags.add(tag)
    return tags


def port_of(ml: MacLearning, mac: int, vlan: int = 0) -> object:
    entry = ml.lookup(mac, vlan)
    return None if entry is None else entry.port


def test_an_address_is_learned_in_its_vlan_only() -> None:
    ml = MacLearning()
    assert ml.learn(A, 10, "p1", 0)
    assert port_of(ml, A, 10) == "p1"
    assert port_of(ml, A, 11) is None
    assert ml.total_learned == 1


def test_group_addresses_and_flood_vlans_are_not_learned() -> None:
    ml = MacLearning()
    ml.set_flood_vlans({7})
    assert ml.learn(MULTICAST, 0, "p1", 0) == 0
    assert ml.learn(A, 7, "p1", 0) == 0
    assert not ml.needs_update(A, 7, "p1", 0)
    assert len(ml) == 0


def test_a_mac_moves_to_the_new_port_and_says_so_by_tag() -> None:
    ml = MacLearning()
    ml.learn(A, 0, "p1", 0)
    depends_on_p1 = ml.lookup_tag(A, 0)
    assert ml.learn(A, 0, "p1", 1000) == 0
    moved = ml.learn(A, 0, "p2", 2000)
    assert tagged(moved).intersects(depends_on_p1)
    assert port_of(ml, A) == "p2"
    assert ml.total_moved == 1


def test_who_flooded_for_want_of_an_entry_hears_of_the_new_one() -> None:
    ml = MacLearning()
    unknown = ml.lookup_tag(A, 0)
    assert tagged(ml.learn(A, 0, "p1", 0)).intersects(unknown)


def test_an_entry_expires_300_s_after_it_was_last_seen() -> None:
    ml = MacLearning()
    ml.learn(A, 0, "p1", 0)
    ml.learn(B, 0, "p1", 100_000)
    assert ml.expire(299_999).is_empty()
    entry = ml.lookup(A, 0)
    assert entry is not None
    assert ml.age(entry, 299_999) == 299
    assert ml.expire(300_000).intersects(entry.tag)
    assert port_of(ml, A) is None
    assert port_of(ml, B) == "p1"
    assert ml.total_expired == 1


def test_a_refreshed_entry_stays() -> None:
    ml = MacLearning()
    ml.learn(A, 0, "p1", 0)
    ml.learn(A, 0, "p1", 200_000)
    assert ml.expire(400_000).is_empty()
    assert not ml.expire(500_000).is_empty()


def test_a_bonds_reflection_of_a_gratuitous_arp_is_not_learned_for_5_s() -> None:
    ml = MacLearning()
    ml.learn(A, 0, "p1", 0, gratuitous_arp=True)
    assert not ml.needs_update(A, 0, "bond", 500, gratuitous_arp=True, is_bond=True)
    assert ml.learn(A, 0, "bond", 500, gratuitous_arp=True, is_bond=True) == 0
    assert port_of(ml, A) == "p1"
    assert ml.learn(A, 0, "bond", 5000, gratuitous_arp=True, is_bond=True)
    assert port_of(ml, A) == "bond"


def test_a_full_table_evicts_from_the_port_with_most_addresses() -> None:
    ml = MacLearning(max_entries=10)
    ml.learn(A, 0, "quiet", 0)
    for i in range(20):
        ml.learn(0x0A0000000000 + i, 0, "noisy", 1 + i)
    assert len(ml) == 10
    assert port_of(ml, A) == "quiet"
    assert ml.total_evicted == 11
    assert port_of(ml, 0x0A0000000013) == "noisy"


def test_without_fairness_the_least_recently_seen_goes() -> None:
    ml = MacLearning(max_entries=2, fair=False)
    ml.learn(1, 0, "p1", 0)
    ml.learn(2, 0, "p2", 1)
    ml.learn(1, 0, "p1", 2)
    ml.learn(3, 0, "p2", 3)
    assert [e.mac for e in ml.entries()] == [1, 3]


def test_static_entries_neither_move_nor_age_nor_flush() -> None:
    ml = MacLearning()
    ml.add_static(A, 0, "p1", 0)
    assert ml.n_static == 1
    assert ml.learn(A, 0, "p2", 5) == 0
    entry = ml.lookup(A, 0)
    assert entry is not None
    assert entry.port == "p1"
    assert ml.age(entry, 999_000) == MAC_ENTRY_AGE_STATIC_ENTRY
    assert ml.expire(10_000_000).is_empty()
    ml.flush(0)
    assert len(ml) == 1
    assert ml.remove(A, 0)
    assert (len(ml), ml.n_static) == (0, 0)


def test_a_port_that_goes_takes_its_addresses_along() -> None:
    ml = MacLearning()
    ml.learn(A, 0, "p1", 0)
    ml.learn(B, 0, "p2", 0)
    tag = ml.lookup_tag(A, 0)
    assert ml.forget_port("p1", 0).intersects(tag)
    assert [e.mac for e in ml.entries()] == [B]
    assert ml.forget_port("p9", 0).is_empty()


def test_packets_from_before_a_flush_teach_nothing_when_their_count_comes_in() -> None:
    ml = MacLearning()
    ml.learn(A, 0, "p1", 1000)
    ml.flush(2000)
    assert ml.learn(A, 0, "p1", 1999) == 0
    assert port_of(ml, A) is None
    assert ml.learn(A, 0, "p1", 2000)
    ml.forget_port("p1", 3000)
    assert ml.learn(A, 0, "p1", 2999) == 0
    assert ml.learn(A, 0, "p2", 2999)
    assert ml.learn(A, 0, "p1", 3000)


def test_an_older_packet_that_is_counted_later_does_not_move_an_address_back() -> None:
    ml = MacLearning()
    ml.learn(A, 0, "p1", 1000)
    ml.learn(A, 0, "p2", 2000)
    assert ml.learn(A, 0, "p1", 1500) == 0
    assert port_of(ml, A) == "p2"
    entry = ml.lookup(A, 0)
    assert entry is not None
    assert entry.used == 2000


@settings(max_examples=100, deadline=None)
@given(st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 1), st.sampled_from("abc"), st.integers(0, 9000)),
    max_size=60,
))
def test_the_table_keeps_its_books(events: list[tuple[int, int, str, int]]) -> None:
    ml = MacLearning(idle_ms=20_000, max_entries=10)
    now = 0
    last: dict[tuple[int, int], str] = {}
    for mac, vlan, port, wait in events:
        now += wait
        ml.expire(now)
        ml.learn(mac, vlan, port, now)
        last[mac, vlan] = port
        assert port_of(ml, mac, vlan) == port
        assert len(ml) <= 10
        for entry in ml.entries():
            assert entry.port == last[entry.mac, entry.vlan]
            assert now // 1000 - entry.used // 1000 < 20
        assert [e.used for e in ml.entries()] == sorted(e.used for e in ml.entries())
        assert sum(len(x) for x in ml._by_port.values()) == len(ml)
    assert ml.total_learned == len(ml) + ml.total_expired + ml.total_evicted
