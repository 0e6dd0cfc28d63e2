"""The eBPF datapath passes the conformance suite, over veth pairs, and the kernel does what it can of it: how
many packets each case has it forward is asserted, or a broken fast path would pass."""

from __future__ import annotations

import pytest

from tests.dpif.conformance import CASES, Case
from tests.dpif_ebpf.lab import EbpfLab

pytestmark = pytest.mark.system


KERNEL_HITS = {
    "port_statistics_count_packets_and_bytes": 1,
    "modify_changes_actions_and_keeps_counters": 2,
    "a_put_may_zero_the_counters_and_return_the_old": 1,
    "deleting_a_flow_gives_its_last_counters": 3,
    "flow_statistics_hold_packets_bytes_time_and_tcp_flags": 2,
    "a_mask_lets_packets_through_that_differ_in_other_bits": 2,
    "a_partial_mask_matches_only_its_bits": 2,
    "flows_of_several_masks_live_side_by_side": 2,
    "the_counters_of_the_datapath_tell_hits_from_misses": 4,
    "a_userspace_action_comes_up_with_its_cookie": 1,
    "a_userspace_action_can_bring_the_actions_along": 1,
    "an_upcall_action_sees_the_packet_as_changed_so_far": 1,
    "a_miss_answered_with_a_flow_and_an_execute_is_a_hit_next_time": 1,
    "a_meter_drops_what_exceeds_its_rate": 30,
    "a_flow_without_actions_drops": 1,
    "output_to_several_ports_sends_copies": 1,
    "a_terse_dump_tells_flows_by_their_ufids": 1,
}
"""Case -> packets that the kernel must have forwarded, counted or dropped by itself; 0 for all others."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_conformance(lab: EbpfLab, case: Case) -> None:
    case(lab, lab.open())
    assert lab.kernel_hits() == KERNEL_HITS.get(case.__name__, 0)
