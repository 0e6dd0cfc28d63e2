"""`ovs-appctl` gets from our daemon what it gets from the real one: the same commands, on the same bridge,
in the same order, at both; their replies are compared, errors and all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.vswitchd import Stack, words
from tests.oracle.real import OracleError, RealSwitch, UnixctlClient

pytestmark = pytest.mark.system

ARP = "in_port(1),eth(),eth_type(0x0806),arp()"
FRAME = "'in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x1234)'"

DATAPATHS = """
dpctl/dump-dps
dpctl/show
dpctl/show -s
dpctl/show dummy@nosuch
dpctl/show zzz@foo
dpctl/show -z
dpctl/add-dp dummy@dp1
dpctl/add-dp dummy@dp1
dpctl/add-dp netdev@dp2 foo
dpctl/add-dp zzz@dp3
dpctl/add-dp dp4
dpctl/add-dp
dpctl/dump-dps
dpctl/show netdev@dp2
dpctl/add-if dummy@dp1 q1,type=dummy q2,type=dummy,port_no=7
dpctl/add-if dummy@dp1 q1,type=dummy
dpctl/add-if dummy@dp1 q3,type=dummy,port_no=7
dpctl/add-if dummy@dp1 q4,type=zzz
dpctl/add-if dummy@nosuch q8
dpctl/add-if dummy@dp1
dpctl/show dummy@dp1
dpctl/set-if dummy@dp1 q1,port_no=3
dpctl/set-if dummy@dp1 q1,type=internal
dpctl/set-if dummy@dp1 q1,type=dummy,port_no=1
dpctl/set-if dummy@dp1 nosuch
dpctl/del-if dummy@dp1 q1
dpctl/del-if dummy@dp1 q1
dpctl/del-if dummy@dp1 7
dpctl/del-if dummy@dp1 77
dpctl/del-if dummy@dp1 dp1
dpctl/show dummy@dp1
dpctl/dump-flows
dpctl/cache-get-size dummy@dp1
dpctl/del-dp dummy@dp1
dpctl/del-dp dummy@dp1
dpctl/cache-get-size
dpctl/del-dp
dpctl/del-dp netdev@dp2
dpctl/del-dp dp4
dpctl/dump-dps
dpctl/dump-dps foo
dpif/dump-dps
dpif/show
ofproto/list
"""

WORDS = f"""
dpctl/add-if dummy@ovs-dummy p1
dpctl/add-if dummy@ovs-dummy p1,type=dummy
dpctl/add-if dummy@ovs-dummy '' ''
dpctl/add-if ovs-dummy y
dpctl/add-dp ''
dpctl/add-dp ovs-dummy
dpctl/show -ms
dpctl/show --
dpctl/show -x
dpctl/show ovs-dummy dummy@ovs-dummy x
dpctl/add-dp dd p1 p2,type=dummy z1,type=dummy
dpctl/show dd
dpctl/dump-flows
dpctl/dump-flows dd
dpctl/dump-flows dummy@dd
dpctl/dump-flows x
dpctl/ct-get-nconns system@dd
dpctl/flush-conntrack
dpctl/flush-conntrack x y
dpctl/cache-get-size ovs-dummy
dpctl/del-dp ovs-dummy
dpctl/del-dp dd
dpctl/add-flow dummy@ovs-dummy 2
dpctl/add-flow {ARP} 2 3
dpctl/add-flow -x {ARP} 2
dpctl/mod-flow dummy@ovs-dummy -s {ARP}
dpctl/get-flow dummy@ovs-dummy
dpctl/get-flow x y
dpctl/del-flow dummy@ovs-dummy
dpctl/del-flow in_port(1)
dpctl/add-flows x y
dpctl/del-flows x
dpctl/del-flows dummy@ovs-dummy dummy@ovs-dummy
dpctl/parse-actions 1 x
dpctl/parse-actions 1 drop 2,drop
netdev-dummy/receive p1 50:54
netdev-dummy/receive p1 in_port(1
netdev-dummy/ip4addr p1 1.2.3.4/33
netdev-dummy/ip6addr p1 ::1/129
fdb/add br0 p1 1x 50:54:00:00:00:01
fdb/add br0 p1 70000 50:54:00:00:00:02
fdb/add br0 p1 -1 50:54:00:00:00:03
fdb/show br0
fdb/del br0 1 50:54:00:00:00:01
fdb/del br0 4464 50:54:00:00:00:02
fdb/del br0 65535 50:54:00:00:00:03
fdb/flush br0
"""
"""What test_random_appctl.py leaves out, because it changes what there is."""

FLOWS = f"""
dpctl/add-dp dummy@dp1
dpctl/add-if dummy@dp1 q1,type=dummy q2,type=dummy
dpctl/add-flow dummy@dp1 {ARP} 2
dpctl/add-flow dummy@dp1 {ARP} 2
dpctl/add-flow dummy@dp1 in_port(2),eth(),eth_type(0x800),ipv4(src=172.31.110.5,dst=172.31.110.4) 1
dpctl/add-flow dummy@dp1 in_port(2),foo 1
dpctl/del-flow dummy@dp1 ufid:00000000-0000-0000-0000-000000000009
dpctl/del-flow dummy@dp1 ufid:00000000-0000-0000-0000-000000000009,in_port(1)
dpctl/add-flow dummy@dp1 in_port(nosuch) 1
dpctl/add-flow dummy@dp1 'ufid:00000000-0000-0000-0000-000000000002, in_port(1),eth(),eth_type(0x1235)' 2
dpctl/add-flow dummy@dp1
dpctl/dump-flows dummy@dp1
dpctl/dump-flows --names dummy@dp1
dpctl/dump-flows dummy@dp1 filter=dl_type=0x0800
dpctl/mod-flow dummy@dp1 {ARP} 1
dpctl/mod-flow dummy@dp1 in_port(1),eth(),eth_type(0x0807) 1
dpctl/get-flow dummy@dp1 ufid:00000000-0000-0000-0000-000000000002
dpctl/del-flow dummy@dp1 in_port(1),eth(),eth_type(0x0807)
dpctl/del-flow dummy@dp1 {ARP}
dpctl/dump-flows dummy@dp1
dpctl/add-flows dummy@dp1 FILE
dpctl/dump-flows dummy@dp1
dpctl/mod-flows dummy@dp1 FILE
dpctl/del-flows dummy@dp1 FILE
dpctl/add-flows dummy@dp1 /nonexistent/flows
dpctl/del-flows dummy@dp1
dpctl/dump-flows dummy@dp1
dpctl/parse-actions '1,2,push_vlan(vid=5,pcp=0),set(eth(src=00:00:00:00:00:01))'
dpctl/parse-actions bogus
dpctl/del-dp dummy@dp1
"""

FILE = """\
add in_port(1),eth(),eth_type(0x9001) 2
# a comment
modify in_port(1),eth(),eth_type(0x9001) 1

delete in_port(1),eth(),eth_type(0x9001)
in_port(1),eth(),eth_type(0x9002) 2
add in_port(1),eth(),eth_type(0x9003)  1,2
delete   in_port(1),eth(),eth_type(0x9002)
"""

FDB = """
fdb/show br0
fdb/show nosuch
fdb/add br0 p1 0 50:54:00:00:00:01
fdb/add br0 p1 0 50:54:00:00:00:01
fdb/add br0 p2 5 50:54:00:00:00:02
fdb/add br0 br0 7 50:54:00:00:00:03
fdb/add br0 nosuch 5 50:54:00:00:00:02
fdb/add nosuch p1 5 50:54:00:00:00:02
fdb/add br0 p1 x 50:54:00:00:00:02
fdb/add br0 p1 0 bad
fdb/add br0 p1 0 ff:ff:ff:ff:ff:ff
fdb/add br0 p1
fdb/show br0
fdb/stats-show br0
fdb/add br0 p2 0 50:54:00:00:00:01
fdb/show br0
fdb/del br0 5 50:54:00:00:00:02
fdb/del br0 5 50:54:00:00:00:02
fdb/del br0 5 bad
fdb/del nosuch 5 50:54:00:00:00:02
fdb/flush br0
fdb/flush nosuch
fdb/show br0
fdb/flush
fdb/stats-show nosuch
fdb/stats-clear br0
fdb/stats-clear nosuch
fdb/stats-show br0
fdb/stats-clear
fdb/del br0 7 50:54:00:00:00:03
fdb/del br0 0 50:54:00:00:00:02
fdb/del br0 0 ff:ff:ff:ff:ff:ff
fdb/del br0 0 50:54:00:00:00:01
fdb/show br0
"""

DUMMIES = f"""
netdev-dummy/receive p1
netdev-dummy/receive nosuch aa
netdev-dummy/receive p1 zz
netdev-dummy/receive p1 50
netdev-dummy/receive p1 {FRAME}
netdev-dummy/receive p1 {FRAME} --len 64
netdev-dummy/receive p1 {FRAME} --len 10
netdev-dummy/receive p1 --qid 0 {FRAME}
netdev-dummy/receive p1 --qid 9 {FRAME}
revalidator/pause
revalidator/pause x
revalidator/resume
revalidator/wait
fdb/add br0 p2 0 50:54:00:00:00:05
fdb/del br0 0 50:54:00:00:00:05
netdev-dummy/set-admin-state p1 down
netdev-dummy/set-admin-state p1 foo
netdev-dummy/set-admin-state up
netdev-dummy/set-admin-state nosuch up
netdev-dummy/conn-state
netdev-dummy/conn-state p1
netdev-dummy/conn-state nosuch
netdev-dummy/ip4addr p1 1.2.3.4/24
netdev-dummy/ip4addr nosuch 1.2.3.4/24
netdev-dummy/ip4addr p1 bad
netdev-dummy/ip6addr p1 fe80::1
netdev-dummy/ip6addr p1 bad
"""

UDP = "in_port=1,udp,dl_src=50:54:00:00:00:05,dl_dst=50:54:00:00:00:07,nw_src=1.1.1.1,nw_dst=2.2.2.2"
ODP = "'in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x1234)'"

TRACES = f"""
fdb/flush br0
ofproto/trace br0 {UDP} --generate --l7-len 10
ofproto/trace br0 {UDP} --generate --l7 0102
ofproto/trace br0 {UDP} --l7 0102
ofproto/trace br0 {UDP} --generate --l7 zz
ofproto/trace br0 {UDP} --generate --l7 012
ofproto/trace br0 {UDP} --generate --l7-len 70000
ofproto/trace br0 {UDP} --generate --l7-len -1
ofproto/trace br0 {UDP} --generate --l7
ofproto/trace br0 {UDP} --generate --l7-len
ofproto/trace br0 {UDP} --bogus
ofproto/trace br0 {UDP} --ct-next foo
ofproto/trace br0 {UDP} --ct-next trk,est
ofproto/trace br0
ofproto/trace
ofproto/trace nosuch {UDP}
ofproto/trace br0 {UDP} 0102
ofproto/trace br0 {UDP} --generate 505400000007505400000005123400
ofproto/trace {ODP}
ofproto/trace ovs-dummy {ODP}
ofproto/trace 'in_port(9),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x1234)'
ofproto/trace-packet-out br0 {UDP} drop
ofproto/trace-packet-out br0 {UDP} strip_vlan,2
ofproto/trace-packet-out --consistent br0 {UDP} strip_vlan,2
ofproto/trace-packet-out --consistent br0 {UDP} mod_tp_src:5,2
ofproto/trace-packet-out --consistent br0 in_port=1,dl_type=0x1234 mod_tp_src:5,2
ofproto/trace-packet-out br0 in_port=1,dl_type=0x1234 mod_tp_src:5,2
ofproto/trace-packet-out br0 {UDP} bogus
fdb/flush br0
"""

TAGGED = "in_port(1),eth(),eth_type(0x8100),vlan(vid=5,pcp=1),encap(eth_type(0x1234))"
LABELLED = (
    "in_port(2),eth(),eth_type(0x8100),vlan(vid=5,pcp=1),"
    "encap(eth_type(0x8847),mpls(label=5,tc=1,ttl=3,bos=1))"
)

TEXTS = f"""
dpctl/offload-stats-show
dpctl/offload-stats-show dummy@ovs-dummy
dpctl/offload-stats-show bogus
dpctl/normalize-actions in_port(1),eth() 1
dpctl/normalize-actions 1,2
dpctl/normalize-actions {ARP} 1,push_vlan(vid=5,pcp=0),2,pop_vlan
dpctl/normalize-actions {TAGGED} 3,pop_vlan,1,push_vlan(vid=7,pcp=1),push_vlan(vid=8,pcp=1),2
dpctl/normalize-actions {LABELLED} 2,3
dpctl/normalize-actions eth(),eth_type(0x1234) set(eth(src=00:00:00:00:00:01)),2,recirc(5)
dpctl/normalize-actions eth(),eth_type(0x1234) 2,drop
dpctl/normalize-actions eth(),eth_type(0x1234) bogus
dpctl/normalize-actions eth(),eth_type(0x1234) drop
dpctl/normalize-actions eth(),eth_type(0x1234) ''
dpctl/normalize-actions -m eth(),eth_type(0x1234) 1,pop_vlan,2
dpctl/normalize-actions --names recirc_id(1),in_port(p1),eth() p2,5 p1=5 p2=2
dpctl/normalize-actions in_port(p1),eth() 2
dpctl/normalize-actions bogus 2
dpctl/normalize-actions eth() 2 p1=x
dpctl/normalize-actions eth() 2 p1
dpctl/parse-actions 2,drop
dpctl/parse-actions drop,2
dpctl/parse-actions drop
"""

THREADS = """
dpif-netdev/dpif-impl-get
dpif-netdev/dpif-impl-set dpif_scalar
dpif-netdev/miniflow-parser-get
dpif-netdev/pmd-rxq-show -secs 7
dpif-netdev/pmd-rxq-show -secs 100
dpif-netdev/pmd-rxq-show -secs 1
dpif-netdev/pmd-rxq-show -secs 0
dpif-netdev/pmd-rxq-show -secs -1
dpif-netdev/pmd-rxq-show -secs
dpif-netdev/pmd-rxq-show -pmd
dpif-netdev/pmd-rxq-show -pmd x
dpif-netdev/pmd-rxq-show a b
dpif-netdev/pmd-rxq-show a b c d e f
dpif-netdev/pmd-stats-clear -pmd 2
dpif-netdev/pmd-perf-show -it x
dpif-netdev/pmd-perf-show -it 5000
dpif-netdev/pmd-perf-show -bogus
dpif-netdev/pmd-perf-show -it
dpif-netdev/pmd-perf-log-set
dpif-netdev/pmd-perf-log-set -b 5
dpif-netdev/pmd-perf-log-set on -b 101
dpif-netdev/pmd-perf-log-set on -b 100
dpif-netdev/pmd-perf-log-set on -a -1
dpif-netdev/pmd-perf-log-set on -us 1001
dpif-netdev/pmd-perf-log-set on -q -1
dpif-netdev/pmd-perf-log-set on off
dpif-netdev/miniflow-parser-set study 0
dpif-netdev/miniflow-parser-set study -5
dpif-netdev/miniflow-parser-set study 99999999999
dpif-netdev/miniflow-parser-set -pmd
dpif-netdev/miniflow-parser-set -pmd 0
dpif-netdev/miniflow-parser-set autovalidator 4
dpif-netdev/miniflow-parser-set study 4 5
dpif-netdev/subtable-lookup-prio-set bogus 400
dpif-netdev/pmd-perf-show
dpif-netdev/pmd-perf-show -nh -it 5 -ms 4
dpif-netdev/pmd-perf-show -pmd 0
dpif-netdev/pmd-rxq-rebalance
dpif-netdev/pmd-rxq-rebalance ovs-dummy
dpif-netdev/pmd-rxq-show
dpif-netdev/pmd-rxq-show -secs 5
dpif-netdev/pmd-rxq-show -secs x
dpif-netdev/pmd-rxq-show ovs-dummy
dpif-netdev/pmd-rxq-show -pmd 0 ovs-dummy
dpif-netdev/pmd-stats-clear
dpif-netdev/subtable-lookup-prio-set generic 3
dpif-netdev/subtable-lookup-prio-set autovalidator 300
dpif-netdev/subtable-lookup-prio-set autovalidator 255
dpif-netdev/subtable-lookup-prio-set autovalidator -1
"""
"""What is asked of threads of the userspace datapath, which ours and the real one's dummy have none of."""

PROCESS = """
vlog/set foo
vlog/set dpif:bar
vlog/set dpif:file:dbg
vlog/set ANY:syslog:warn
vlog/set PATTERN:console:%m
vlog/set PATTERN:bogus:%m
vlog/set FACILITY:bogus
vlog/set FACILITY:local3
vlog/list-pattern
vlog/disable-rate-limit dpif
vlog/disable-rate-limit bogus
vlog/enable-rate-limit any
coverage/read-counter nosuch
upcall/set-flow-limit 5000
upcall/set-flow-limit x
revalidator/purge
dpif/show-dp-features nosuch
dpif/set-dp-features br0 clone
dpif/set-dp-features br0 clone false
dpif/set-dp-features br0 clone
dpif/set-dp-features br0 clone true
dpif/set-dp-features br0 bogus true
dpif/set-dp-features br0 clone maybe
dpif/set-dp-features br0 max_vlan_headers 9
dpif/set-dp-features br0 max_vlan_headers x
dpif/dump-flows
dpif/dump-flows nosuch
dpif/dump-flows br0
time/stop
time/warp 1000 100
time/warp x
exit foo bar
list-commands foo
version foo
nosuch
"""


def call(client: UnixctlClient, line: str) -> str:
    """The reply to one command line, an error with "error: " in front."""
    command, *args = words(line)
    try:
        return client.call(command, *args)
    except OracleError as e:
        return f"error: {e}"


def normalised(command: str, reply: str) -> str:
    """Without what need not be the same: order where the real one goes by its hash tables, times."""
    reply = re.sub(r"duration : \d+ms", "duration : ?", reply)
    # Which port a flood goes to first is nobody's promise.
    reply = reply.replace("Datapath actions: 100,2", "Datapath actions: 2,100")
    lines = reply.strip().splitlines()
    if "dump" in command:
        lines.sort()
    return "\n".join(lines)


@pytest.fixture(scope="module")
def both(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[UnixctlClient, UnixctlClient]]:
    """The real daemon and ours, each with bridge br0 and its ports p1 and p2."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl")
    real = RealSwitch(tmp_path_factory.mktemp("real"))
    ours = Stack(tmp_path_factory.mktemp("ours"))
    setup = ["ovs-vsctl", "-t", "15", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]
    for n in "12":
        setup += f"-- add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}".split()
    try:
        real.start()
        real.run(*setup)
        ours.environment["OVS_SYSLOG_METHOD"] = "libc"
        ours.start_database()
        ours.detach()
        ours.run(*setup)
        assert real.client is not None
        client = ours.client()
        yield real.client, client
        client.close()
    finally:
        ours.close()
        real.close()


SCRIPTS = {
    "datapaths": DATAPATHS, "words": WORDS, "flows": FLOWS, "texts": TEXTS, "fdb": FDB, "traces": TRACES,
    "dummies": DUMMIES, "threads": THREADS, "process": PROCESS,
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_replies_are_the_real_ones(
    script: str, both: tuple[UnixctlClient, UnixctlClient], tmp_path: Path
) -> None:
    real, ours = both
    path = tmp_path / "flows"
    path.write_text(FILE)
    lines = script.replace("FILE", str(path)).strip().splitlines()
    wanted = [f"$ {line}\n{normalised(line, call(real, line))}" for line in lines]
    got = [f"$ {line}\n{normalised(line, call(ours, line))}" for line in lines]
    assert "\n".join(got) == "\n".join(wanted)


def test_listed_commands_have_the_real_ones_usage(both: tuple[UnixctlClient, UnixctlClient]) -> None:
    real, ours = (client.call("list-commands").splitlines() for client in both)
    assert ours[0] == real[0]
    names = {line.split()[0] for line in real[1:]}
    assert names - {line.split()[0] for line in ours[1:]} == set()
    shared = [line for line in ours[1:] if line.split()[0] in names]
    assert [line for line in shared if line.rstrip() not in {r.rstrip() for r in real}] == []
    assert len(shared) > 60


def test_dpctl_lists_its_commands(both: tuple[UnixctlClient, UnixctlClient]) -> None:
    real, ours = (client.call("dpctl/list-commands").splitlines() for client in both)
    assert ours == real


def test_the_main_thread_counts_as_the_real_one_does(both: tuple[UnixctlClient, UnixctlClient]) -> None:
    def counted(client: UnixctlClient) -> list[str]:
        client.call("dpif-netdev/pmd-stats-clear")
        for _ in range(3):
            client.call("netdev-dummy/receive", "p1", FRAME.strip("'"))
        client.call("revalidator/wait")
        shown = client.call("dpif-netdev/pmd-stats-show", "ovs-dummy").splitlines()
        # Which cache has the flow is the datapath's own business.
        return [line for line in shown if "hits" not in line and "per megaflow hit" not in line]

    real, ours = both
    assert counted(ours) == counted(real)
    assert "  packets received: 3" in counted(ours)


def test_the_module_list_has_the_real_ones_modules(both: tuple[UnixctlClient, UnixctlClient]) -> None:
    real, ours = (client.call("vlog/list").splitlines() for client in both)
    assert ours[:2] == real[:2]
    assert {line.split()[0] for line in real[2:]} <= {line.split()[0] for line in ours[2:]}
