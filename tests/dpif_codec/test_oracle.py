"""Random flows through the real `dpctl/add-flow`: it reads what we print, and prints it alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.oracle.real import OracleError, RealSwitch
from vswitch.dpif.odp_text import format_actions, format_dpif_flow, format_flow, parse_actions, parse_key
from vswitch.dpif.ops import DpifFlow, FlowStats
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_exact_flow

N_FLOWS = 400
EVERYWHERE = ["eth_src", "skb_priority", "pkt_mark", "dp_hash", "ct_mark", "ct_label", "ct_zone"]
IPV4 = ["ip_src", "ip_dst", "nw_ttl", "nw_tos"]
IPV6 = ["ipv6_src", "ipv6_dst", "ipv6_label", "nw_ttl", "nw_tos"]
KINDS = {
    "tcp": [*IPV4, "tcp_src", "tcp_dst", "tcp_flags"],
    "udp,nw_frag=first": [*IPV4, "udp_src", "udp_dst"],
    "udp,nw_frag=later": IPV4,
    "icmp": [*IPV4, "icmp_type", "icmp_code"],
    "ip,nw_proto=47": IPV4,
    "tcp6": [*IPV6, "tcp_src", "tcp_dst", "tcp_flags"],
    "sctp6": [*IPV6, "sctp_src", "sctp_dst"],
    "icmp6,icmpv6_type=128": [*IPV6, "icmpv6_code"],
    "icmp6,icmpv6_type=135,icmpv6_code=0": [*IPV6, "nd_target", "nd_sll"],
    "arp": ["arp_spa", "arp_tpa", "arp_sha", "arp_tha", "arp_op"],
    "dl_type=0x1234": [],
}
ACTIONS = [
    "drop", "2", "1,2", "push_vlan(vid=10,pcp=3),2", "pop_vlan,1", "set(skb_mark(0x5/0xff)),2",
    "set(eth(src=00:00:00:00:00:01)),2", "set(ipv4(src=1.2.3.4,ttl=5)),2",
    "ct(commit,zone=5),2",
    "sample(sample=50.0%,actions(2))", "clone(set(ipv4(ttl=1)),2),1", "trunc(100),2",
    "userspace(pid=0,slow_path(action))", "check_pkt_len(size=200,gt(1),le(2))", "meter(3),2",
]  # fmt: skip


@pytest.fixture(scope="module")
def real(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealSwitch]:
    require("command:ovs-vswitchd", "command:ovsdb-server")
    switch = RealSwitch(tmp_path_factory.mktemp("ovs"))
    try:
        switch.start()
        switch.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
                   "fail_mode=secure", "--", "add-port", "br0", "p1", "--", "set", "interface", "p1",
                   "type=dummy")  # fmt: skip
        yield switch
    finally:
        switch.close()


def random_flow(rng: random.Random) -> tuple[Flow, Flow]:
    """A flow with a mask over some of its fields, as a megaflow has it."""
    kind = rng.choice(list(KINDS))
    flow = parse_exact_flow(f"in_port=1,{kind}")
    mask = Flow()
    mask.in_port = mask.dl_type = 0xFFFF
    mask.dl_dst = 0x010000000000  # without "eth(...)" the real switch reads a packet without Ethernet
    mask.packet_type = mask.recirc_id = 0xFFFFFFFF
    if flow.dl_type in (0x800, 0x86DD):
        mask.nw_frag, mask.nw_proto = 3, 0xFF
    for name in rng.sample(EVERYWHERE, 3) + rng.sample(KINDS[kind], len(KINDS[kind]) // 2):
        field = by_name(name)
        bits = (1 << min(field.n_bits, field.n_stored)) - 1
        flow.set(field, rng.getrandbits(field.n_bits) & bits & field.ones)
        exact = rng.random() < 0.6 or not field.maskable
        mask.set_bits(field, (rng.getrandbits(field.n_bits) & bits) if not exact else bits)
    if "icmpv6_type" in kind:
        mask.tp_src, mask.tp_dst = 0xFF, 0xFF
        mask.set_bits(by_name("nd_sll"), 1 if "135" in kind else 0)
    elif KINDS[kind][-1:] and KINDS[kind][-1] in ("tcp_flags", "udp_dst", "sctp_dst", "icmp_code"):
        mask.tp_src |= 1  # without "tcp(...)" the real switch misses it
    if rng.random() < 0.3:
        flow.vlan_tci, flow.vlan_tpid = 0x1000 | rng.getrandbits(12) | rng.getrandbits(3) << 13, 0x8100
        mask.vlan_tci = rng.choice([0xFFFF, 0x1FFF, 0xF000, 0x1000, 0x10F3])
    return flow, mask


def test_random_flows_dump_alike(real: RealSwitch) -> None:
    rng = random.Random(20266)
    refused, differ = [], []
    # Its revalidators would turn flows that no OpenFlow rule stands behind into drops.
    real.appctl("revalidator/pause")
    for _ in range(N_FLOWS):
        flow, mask = random_flow(rng)
        text, actions = format_flow(flow, mask), rng.choice(ACTIONS)
        real.appctl("dpctl/del-flows")
        try:
            real.appctl("dpctl/add-flow", text, actions)
        except OracleError as error:
            refused.append(f"{text}: {error}")
            continue
        dumped = real.appctl("dpctl/dump-flows").splitlines()[-1]
        read_flow, read_mask = parse_key(text)
        ours = format_dpif_flow(DpifFlow(read_flow, read_mask, parse_actions(actions), FlowStats(), b""), 0)
        assert format_flow(read_flow, read_mask) == text
        assert format_actions(parse_actions(actions)) == actions
        if dumped != ours:
            differ.append((dumped, ours))
    real.appctl("revalidator/resume")
    assert not differ, f"{len(differ)} differ: {differ[:4]}"
    assert not refused, f"{len(refused)} refused: {refused[:4]}"
