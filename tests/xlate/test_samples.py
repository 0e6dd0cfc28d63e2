"""Samples: what is sampled and goes nowhere is dropped by an action of its own where that is asked for, and
observers may have their numbers from fields."""

from __future__ import annotations

from dataclasses import replace

from tests.xlate.lab import ALL, Bridge, datapath
from vswitch.monitor.ipfix import IpfixSampling
from vswitch.monitor.local_sample import LocalSample

SAMPLED = IpfixSampling(0xFFFFFFFF, input=True, output=True)


def bridge(explicit: bool, can_drop: bool = True) -> Bridge:
    dp = datapath(replace(ALL, explicit_drop_action=can_drop))
    dp.explicit_sampled_drops = explicit
    br0 = Bridge(dp=dp).add_flows("in_port=1,actions=output:2", "in_port=3,actions=drop",
                                  "in_port=4,actions=sample(probability=9,collector_set_id=1)")
    br0.x.ipfix = SAMPLED
    return br0


def ends(br0: Bridge, in_port: int) -> bool:
    """Whether the actions of a packet end with a drop."""
    actions = br0.actions(f"in_port={in_port},udp")
    assert "userspace" in actions
    return actions.endswith(",drop")


def test_a_sampled_packet_that_goes_nowhere_is_dropped_explicitly_if_asked() -> None:
    assert [ends(bridge(True), port) for port in (1, 3, 4)] == [False, True, True]
    assert [ends(bridge(False), port) for port in (1, 3, 4)] == [False, False, False]
    assert [ends(bridge(True, can_drop=False), port) for port in (1, 3, 4)] == [False, False, False]


def test_an_observer_s_number_may_be_a_field_s() -> None:
    br0 = Bridge().add_flows("tcp,actions=load:0x77->NXM_NX_REG3[8..15],sample(probability=9,"
                             "collector_set_id=1,obs_domain_id=NXM_NX_REG3[8..23],obs_point_id=NXM_OF_TCP_DST[])")
    br0.x.ipfix = IpfixSampling()
    out = br0.xlate("in_port=1,tcp,tcp_dst=80")
    text = br0.actions("in_port=1,tcp,tcp_dst=80")
    assert "obs_domain_id=119,obs_point_id=80," in text
    assert out.wc.tp_dst == 0xFFFF


def test_samples_stay_with_the_kernel_where_it_has_psample() -> None:
    br0 = Bridge(dp=datapath(replace(ALL, psample=False))).add_flows(
        "udp,actions=sample(probability=65535,collector_set_id=1,obs_domain_id=5,obs_point_id=6),2",
        "tcp,actions=sample(probability=32768,collector_set_id=1),2",
        "arp,actions=sample(probability=65535,collector_set_id=2),2",
    )
    br0.x.local_groups = {1: LocalSample(42)}
    assert br0.actions("in_port=1,udp") == "2", "the datapath has no psample"
    br0.x.dp.support.psample = True
    assert br0.actions("in_port=1,udp") == "psample(group=42,cookie=0x0000000500000006),2"
    half = "sample(sample=50.0%,actions(psample(group=42,cookie=0x0000000000000000))),2"
    assert br0.actions("in_port=1,tcp") == half
    assert br0.actions("in_port=1,arp") == "2"
    br0.x.ipfix = IpfixSampling()
    both = br0.actions("in_port=1,udp")
    assert both.startswith("psample(group=42,cookie=0x0000000500000006),userspace(pid=")
    assert "psample" not in br0.actions("in_port=1,arp")
