"""The runtime commands: output laid out as `ovs-appctl` 3.1 prints it (asked of the real one)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from textwrap import dedent

import pytest

from tests.ofproto_dpif.lab import Lab, tcp, udp
from vswitch.dpif import dpctl_ports
from vswitch.dpif.kernel.dpif_class import CLASS
from vswitch.dpif.ops import DpifFlow
from vswitch.dpif.types import DpifStats
from vswitch.monitor.local_sample import LocalSample
from vswitch.openflow.flow_text import parse_flow

MakeLab = Callable[..., Lab]
SYN = bytes.fromhex("505400000002505400000001") + tcp(2)[12:]


@pytest.fixture
def two(lab: MakeLab) -> Lab:
    """br0 with p1, p2 in VLAN 10 and a patch port to br1; the same TCP SYN came in at p1 twice."""
    made = lab(1, "actions=normal")
    made.add_port(made.bridge, "p2", 2, vlan=10)
    other = made.add_bridge("br1")
    made.flow("actions=normal", other)
    made.add_port(made.bridge, "pp0", 3, "patch", peer="pp1")
    made.add_port(other, "pp1", 1, "patch", peer="pp0")
    made.send("p1", SYN)
    made.clock.warp(400)
    made.send("p1", SYN)
    return made


def shown(made: Lab, command: str) -> str:
    """What the command says, with the lab's name for its datapath replaced by the usual one."""
    return made.ask(command).replace(made.backer.name, "ovs-netdev")


def text(block: str) -> str:
    return dedent(block).removeprefix("\n")


def test_dpif_show(two: Lab) -> None:
    assert shown(two, "dpif/show") == text("""
        netdev@ovs-netdev: hit:1 missed:1
          br0:
            br0 65534/1: (dummy)
            p1 1/2: (dummy)
            p2 2/3: (dummy)
            pp0 3/none: (patch: peer=pp1)
          br1:
            br1 65534/4: (dummy)
            pp1 1/none: (patch: peer=pp0)
        """)


def test_dpif_dump_flows(two: Lab) -> None:
    flow = ("recirc_id(0),in_port({}),packet_type(ns=0,id=0),"
            "eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),ipv4(frag=no), "
            "packets:1, bytes:54, used:0.000s, flags:S, actions:{}\n")
    assert shown(two, "dpif/dump-flows br0") == flow.format("2", "1,4")
    assert shown(two, "dpif/dump-flows --names br0") == flow.format("p1", "br0,br1")
    assert shown(two, "dpctl/dump-flows") == "flow-dump from the main thread:\n" + flow.format("2", "1,4")
    assert shown(two, "dpif/dump-flows br1") == ""


def test_verbose_dumps_name_the_flow_and_its_ports(two: Lab) -> None:
    ufid = r"ufid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    rest = r"skb_priority\(0/0\),.*in_port\(p1\),.* flags:S,.* actions:br0,br1\n"
    assert re.fullmatch(f"{ufid} {rest}", shown(two, "dpif/dump-flows -m br0"))
    extra = rest.replace(r"\n", r", dp-extra-info:miniflow_bits\(5,1\)\n")
    title, _, line = shown(two, "dpctl/dump-flows -m").partition("\n")
    assert title == "flow-dump from the main thread:"
    assert re.fullmatch(f"{ufid}, {extra}", line)
    assert "in_port(2)" in shown(two, "dpif/dump-flows -m --no-names br0")


def test_dpctl_show(two: Lab) -> None:
    assert shown(two, "dpctl/show") == text("""
        netdev@ovs-netdev:
          lookups: hit:1 missed:1 lost:0
          flows: 1
          port 0: ovs-netdev (dummy)
          port 1: br0 (dummy)
          port 2: p1 (dummy)
          port 3: p2 (dummy)
          port 4: br1 (dummy)
        """)
    assert text("""
          port 2: p1 (dummy)
            RX packets:2 errors:? dropped:? overruns:? frame:?
            TX packets:0 errors:? dropped:? aborted:? carrier:?
            collisions:?
            RX bytes:108  TX bytes:0
        """).replace("\n", "\n  ").strip() in shown(two, "dpctl/show -s")


def test_dpctl_show_tells_of_the_kernels_masks(two: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dpctl_ports, "dpif_class", lambda _type: CLASS)
    monkeypatch.setattr(two.backer.dpif, "stats", lambda: DpifStats(6, 2, 1, 5, 20, 3, 4))
    assert dpctl_ports.show(two.backer.dpif, two.backer.scope, False).splitlines()[1:5] == [
        "  lookups: hit:6 missed:2 lost:1",
        "  flows: 5",
        "  masks: hit:20 total:3 hit/pkt:2.50",
        "  cache: hit:4 hit-rate:50.00%",
    ]


def test_ofproto_list_and_dump_dps(two: Lab) -> None:
    assert shown(two, "ofproto/list") == "br0\nbr1\n"
    assert shown(two, "dpctl/dump-dps") == "netdev@ovs-netdev\n"
    assert shown(two, "dpif/dump-dps") == "netdev@br0\nnetdev@br1\n"


def test_fdb_show_and_flush(two: Lab) -> None:
    two.seconds(1)
    two.send("p2", udp())
    two.seconds(2)
    assert shown(two, "fdb/show br0") == (
        " port  VLAN  MAC                Age\n"
        "    1     0  50:54:00:00:00:01    3\n"
        "    2    10  02:00:00:00:00:0a    2\n"
    )
    assert shown(two, "fdb/flush br0") == "table successfully flushed"
    assert shown(two, "fdb/show br0") == " port  VLAN  MAC                Age\n"
    assert len(two.ofprotos.all_ofproto_dpifs["br1"].mac_learning) > 0
    assert shown(two, "fdb/flush") == "table successfully flushed"
    assert len(two.ofprotos.all_ofproto_dpifs["br1"].mac_learning) == 0


def test_fdb_stats(two: Lab) -> None:
    expected = text("""
        Statistics for bridge "br0":
          Current/maximum MAC entries in the table: 1/8192
          Current static MAC entries in the table : 0
          Total number of learned MAC entries     : {}
          Total number of expired MAC entries     : 0
          Total number of evicted MAC entries     : 0
          Total number of port moved MAC entries  : 0
        """)
    assert shown(two, "fdb/stats-show br0") == expected.format(1)
    assert shown(two, "fdb/stats-clear br0") == "statistics successfully cleared"
    assert shown(two, "fdb/stats-show br0") == expected.format(0)


def test_upcall_show(two: Lab) -> None:
    two.seconds(1)
    assert shown(two, "upcall/show") == text("""
        netdev@ovs-netdev:
          flows         : (current 1) (avg 1) (max 1) (limit 10000)
          dump duration : 0ms
          ufid enabled : true

          0: (keys 1)
        """)


def test_dumps_by_ufid_alone_are_turned_off_and_on(two: Lab) -> None:
    whole: list[bool] = []
    provider = two.backer.dpif.flow_dump

    def flow_dump(terse: bool = False) -> Iterator[DpifFlow]:
        whole.append(not terse)
        return provider(terse)

    two.backer.dpif.flow_dump = flow_dump  # type: ignore[method-assign]
    shown(two, "revalidator/wait")
    assert shown(two, "upcall/disable-ufid") == "Datapath dumping tersely using UFID disabled\n"
    assert "  ufid enabled : false\n" in shown(two, "upcall/show")
    shown(two, "revalidator/wait")
    shown(two, "upcall/enable-ufid")
    assert "  ufid enabled : true\n" in shown(two, "upcall/show")
    shown(two, "revalidator/wait")
    assert whole == [False, True, False]


def test_show_facets(two: Lab) -> None:
    lines = shown(two, "dpif/show-facets br0").splitlines()
    assert lines[0] == "1 facets, 1 masks"
    assert ", packets:1, bytes:54, idle:0.400s, tags:" in lines[1]
    assert lines[1].endswith("actions:1,4")
    assert lines[2] == "  fast path from datapath port 2, packets:0, bytes:0, age:0.400s"


def test_show_channels_of_the_userspace_datapath_are_its_queues(two: Lab) -> None:
    assert shown(two, "dpif/show-channels") == text("""\
        netdev@ovs-netdev: a queue of 1000 upcalls a port, lost 0
          port 2 (p1): received 1, waiting 0, lost 0
        """)


def test_show_dp_features_says_yes_and_no(two: Lab) -> None:
    lines = shown(two, "dpif/show-dp-features br0").splitlines()
    assert len(lines) == 26
    assert lines[:3] == ["Masked set action: Yes", "Tunnel push pop: Yes", "Ufid: Yes"]
    assert "Max MPLS depth: 3" in lines


def test_clog_makes_completions_wait_for_unclog(two: Lab) -> None:
    done: list[str] = []
    two.ask("ofproto/clog")
    two.bridge.flow_mod(parse_flow("priority=50000,udp,actions=drop"), lambda: done.append("barrier"))
    two.run()
    assert done == []
    two.send("p1", udp())
    assert two.received() == {"br0": 2, "br1": 2}, "the change itself does not wait"
    two.ask("ofproto/unclog")
    two.run()
    assert done == ["barrier"]


def test_purge_takes_all_flows_out_without_losing_a_count(two: Lab) -> None:
    two.ask("revalidator/purge")
    assert two.dp_flows() == []
    assert two.rule().n_packets == 2


def test_wait_brings_all_counters_up_to_date(two: Lab) -> None:
    two.ask("revalidator/wait")
    assert two.rule().n_packets == 2


def test_pause_leaves_datapath_flows_uncounted_and_unchanged_until_resume(two: Lab) -> None:
    before = two.dp_flows()
    two.ask("revalidator/pause")
    two.flow("priority=50000,tcp,actions=drop")
    two.seconds(20)
    assert two.dp_flows() == before, "neither changed nor idled out"
    two.ask("revalidator/wait")
    two.ask("revalidator/purge")
    assert two.dp_flows() == [], "a purge is carried out all the same"
    assert two.rule("").n_packets == 2


def test_resume_catches_up_with_what_changed_during_the_pause(two: Lab) -> None:
    two.ask("revalidator/pause")
    two.ask("revalidator/wait")
    assert two.rule().n_packets == 1, "the packet that missed; the other one is in the datapath's counter"
    two.ask("revalidator/resume")
    two.ask("revalidator/wait")
    assert two.rule().n_packets == 2
    two.ask("revalidator/pause")
    before = two.dp_flows()
    two.flow("priority=50000,tcp,actions=output:2")
    two.run()
    assert two.dp_flows() == before
    two.ask("revalidator/resume")
    two.run()
    assert two.dp_flows() == [], "the new flow looks at more than the old one did"


def test_commands_for_tests_alone_are_not_listed(two: Lab) -> None:
    listing = two.ask("list-commands")
    assert "revalidator/wait" in listing
    assert "revalidator/pause" not in listing
    assert "revalidator/resume" not in listing


def test_trace_agrees_with_the_datapath_flow(two: Lab) -> None:
    said = two.ask("ofproto/trace br0 in_port=1,tcp,dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02")
    assert said.splitlines()[-1] == "Datapath actions: 1,4"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("fdb/show nope", "no such bridge"),
        ("fdb/flush nope", "no such bridge"),
        ("dpif/dump-flows nope", "no such bridge"),
        ("dpif/show-dp-features nope", "no such bridge"),
        ("dpif/dump-flows", '"dpif/dump-flows" command requires at least 1 arguments'),
        ("fdb/show br0 x", '"fdb/show" command takes at most 1 arguments'),
        ("dpctl/dump-flows nope", "ovs-vswitchd: datapath not found (Invalid argument)"),
    ],
)
def test_what_cannot_be_is_said_in_the_words_of_the_real_one(two: Lab, command: str, error: str) -> None:
    name, *args = command.split()
    assert two.commands.run(name, args) == (False, error)


def test_lsample_show_counts_what_met_a_sample_action(two: Lab) -> None:
    command = "lsample/show br0"
    assert two.commands.run("lsample/show", ["br9"]) == (False, "no such bridge")
    assert two.commands.run("lsample/show", ["br0"]) == (False, "no local sampling exporters configured")
    two.backer.dp.support.psample = True
    two.bridge.xbridge.local_groups = {9: LocalSample(90), 7: LocalSample(70)}
    # This datapath has no such action and refuses it; what would meet it counts.
    two.flow("priority=40000,tcp,actions=sample(probability=1,collector_set_id=7)")
    two.seconds(1)
    empty = "Collector Set ID: {}:\n  Group ID     : {}\n  Total packets: {}\n  Total bytes  : {}\n"
    title = 'Local sample statistics for bridge "br0":\n'
    assert two.ask(command) == title + empty.format(7, 70, 0, 0) + "\n" + empty.format(9, 90, 0, 0)
    for _ in range(3):
        two.send("p1", SYN)
    two.seconds(2)
    assert two.ask(command) == title + empty.format(7, 70, 3, 162) + "\n" + empty.format(9, 90, 0, 0)
