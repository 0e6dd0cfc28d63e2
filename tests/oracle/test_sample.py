"""The sample action, where an IPFIX exporter is configured: traces as the real switch prints them."""

from __future__ import annotations

import re

import pytest

from tests.oracle.compare import answer
from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch
from tests.oracle.setup import Bridge, Port, Query, Setup
from vswitch.monitor.ipfix import IpfixSampling

FLOWS = [
    "in_port=1,tcp actions=sample(probability=65535,collector_set_id=1,obs_domain_id=2,obs_point_id=3),2",
    "in_port=1,udp actions=sample(probability=1000,collector_set_id=1),output:2",
    "in_port=1,icmp actions=mod_dl_src:50:54:00:00:00:01,sample(probability=1,collector_set_id=1,"
    "sampling_port=2),output:2",
    "in_port=1,arp actions=output:2,sample(probability=9,collector_set_id=1,sampling_port=2,egress),"
    "sample(probability=9,collector_set_id=1,sampling_port=1,ingress)",
    "in_port=2 actions=sample(probability=9,collector_set_id=1,sampling_port=77),output:1",
    "in_port=LOCAL actions=clone(dec_ttl,sample(probability=40000,collector_set_id=4294967295)),output:1",
]
SETUP = Setup("sample", [Bridge("br0", {}, [Port("p1"), Port("p2")], FLOWS)])
PACKETS = [
    "in_port=1,tcp", "in_port=1,udp", "in_port=1,icmp", "in_port=1,arp", "in_port=2,ip",
    "in_port=LOCAL,udp,nw_ttl=9",
]  # fmt: skip


def shown(switch: RealSwitch | OurSwitch, packet: str) -> str:
    """The trace of a packet, the datapath port in a sample's cookie by name."""
    names = switch.port_names()
    return re.sub(r"output_port=(\d+)", lambda m: f"output_port={names.get(m[1], m[1])}",
                  answer(switch, Query("br0", packet)))  # fmt: skip


@pytest.mark.parametrize("exporter", [False, True], ids=["no exporter", "an exporter"])
def test_samples_go_to_an_exporter_if_there_is_one(real: RealSwitch, exporter: bool) -> None:
    ours = OurSwitch()
    try:
        real.configure(SETUP)
        ours.configure(SETUP)
        if exporter:
            real.run(
                "ovs-vsctl", "--id=@br", "get", "bridge", "br0",
                "--", "--id=@i", "create", "IPFIX", 'targets="127.0.0.1:9"',
                "--", "create", "Flow_Sample_Collector_Set", "id=1", "bridge=@br", "ipfix=@i",
            )  # fmt: skip
            ours.ofprotos.all_ofproto_dpifs["br0"].ipfix = IpfixSampling()
        try:
            for packet in PACKETS:
                text = shown(ours, packet)
                assert text == shown(real, packet)
                assert ("flow_sample" in text) == (exporter and packet != "in_port=2,ip")
        finally:
            if exporter:
                real.run("ovs-vsctl", "--all", "destroy", "Flow_Sample_Collector_Set")
    finally:
        ours.close()
