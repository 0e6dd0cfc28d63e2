"""The governor: which flows are worth installing."""

from __future__ import annotations

from vswitch.ofproto_dpif.facets.governor import FLOW_SETUP_THRESHOLD, MIN_SIZE, Governor


def test_a_flow_is_installed_with_its_fifth_packet() -> None:
    governor = Governor("ovs-netdev", 0)
    answers = [governor.should_install_flow(0x1234, 1) for _ in range(FLOW_SETUP_THRESHOLD)]
    assert answers == [False, False, False, False, True]


def test_packets_of_one_batch_count_together() -> None:
    governor = Governor("ovs-netdev", 0)
    assert governor.should_install_flow(7, 5)
    assert not governor.should_install_flow(8, 3)
    assert governor.should_install_flow(8, 2)


def test_two_flows_that_share_a_byte_have_counters_of_their_own() -> None:
    governor = Governor("ovs-netdev", 0)
    for _ in range(FLOW_SETUP_THRESHOLD - 1):
        assert not governor.should_install_flow(2, 1)
        assert not governor.should_install_flow(3, 1)
    assert governor.should_install_flow(2, 1)
    assert governor.should_install_flow(3, 1)


def test_single_packets_of_many_flows_are_mostly_refused() -> None:
    governor = Governor("ovs-netdev", 0)
    installed = sum(governor.should_install_flow(hash((i, "flow")), 1) for i in range(4000))
    assert installed < 40


def test_a_negative_hash_is_as_good_as_any() -> None:
    governor = Governor("ovs-netdev", 0)
    answers = [governor.should_install_flow(-(1 << 62) - 1, 1) for _ in range(FLOW_SETUP_THRESHOLD)]
    assert answers[-1]
    assert not any(answers[:-1])


def test_the_table_grows_with_the_load_and_shrinks_again() -> None:
    governor = Governor("ovs-netdev", 0)
    for i in range(5000):
        governor.should_install_flow(i * 0x9E3779B1, 1)
    governor.run(1000)
    assert governor.size == 32768
    governor.run(2000)
    assert governor.size == MIN_SIZE


def test_ten_quiet_seconds_make_it_idle() -> None:
    governor = Governor("ovs-netdev", 0)
    for i in range(1000):
        governor.should_install_flow(i, 1)
    governor.run(1000)
    for second in range(2, 12):
        assert not governor.is_idle()
        governor.run(1000 * second)
    assert governor.is_idle()
