"""Every packet that a translation drops is counted under its reason, in the datapath and on the way there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oracle.real import RealSwitch
from tests.trials.trial import IP, Bench
from vswitch.dpif.drop_reasons import DROP_REASONS

pytestmark = pytest.mark.system

TCP = "020000000002020000000001" + "0800" + IP
MPLS = "020000000002020000000001" + "884700001140" + IP
DEEP = ",".join(["resubmit(,{})"] * 8)


@pytest.mark.parametrize(("flows", "packet", "reason"), [
    (["actions=drop"], TCP, "drop_action_of_pipeline"),
    ([], TCP, "drop_action_of_pipeline"),
    (["actions=resubmit(1,0)"], TCP, "drop_action_recursion_too_deep"),
    (
        [f"table={table},actions={DEEP.format(*[table + 1] * 8)}" for table in range(5)],
        TCP, "drop_action_too_many_resubmit",
    ),
    (
        ["mpls,actions=push_mpls:0x8847,push_mpls:0x8847,push_mpls:0x8847,output:2"],
        MPLS, "drop_action_too_many_mpls_labels",
    ),
], ids=["drop", "no flow", "recursion", "resubmits", "labels"])  # fmt: skip
def test_each_of_five_packets_counts(
    switches: tuple[RealSwitch, RealSwitch], flows: list[str], packet: str, reason: str
) -> None:
    def counts(bench: Bench) -> dict[str, int]:
        return {name: int(bench.appctl("coverage/read-counter", name)) for name in DROP_REASONS}

    def dropped(switch: RealSwitch) -> dict[str, int]:
        bench = Bench(switch)
        bench.prepare()
        for flow in flows:
            bench.tool("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "sw", flow)
        before = counts(bench)
        for _ in range(5):
            bench.appctl("netdev-dummy/receive", "e31", packet)
        bench.appctl("revalidator/wait")
        return {name: n - before[name] for name, n in counts(bench).items() if n != before[name]}

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(dropped, switches)
    assert ours == theirs == {reason: 5}
