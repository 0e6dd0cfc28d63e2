"""Command lines for `ovs-appctl` at random: any command of `list-commands`, any number of plausible words.

A word is mostly of the kind that the command's usage asks for in that place, sometimes another.
`left_out` has the lines that nobody should be asked, `excused` the differences that are to stay, each with
its reason.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Final

Line = tuple[str, ...]
"""A command and its arguments."""

SETUP: Final = """
add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure mcast_snooping_enable=true rstp_enable=true
add-port br0 p1 -- set interface p1 type=dummy ofport_request=1
add-port br0 p2 -- set interface p2 type=dummy ofport_request=2
add-bond br0 bond0 p11 p12 bond_mode=balance-slb -- set interface p11 type=dummy ofport_request=11
set interface p12 type=dummy ofport_request=12
add-br br1 -- set bridge br1 datapath_type=dummy fail_mode=secure stp_enable=true
add-port br1 q1 -- set interface q1 type=dummy ofport_request=1 bfd:enable=true
add-port br1 q2 -- set interface q2 type=dummy ofport_request=2 cfm_mpid=5
add-port br0 pa -- set interface pa type=patch options:peer=pb ofport_request=21
set port pa other_config:rstp-enable=false
add-port br1 pb -- set interface pb type=patch options:peer=pa ofport_request=22
set port pb other_config:stp-enable=false
set bridge br0 other_config:hwaddr=02:00:00:00:00:01 -- set bridge br1 other_config:hwaddr=02:00:00:00:00:02
"""
"""What both switches have, a line a transaction of ovs-vsctl."""

UDP: Final = (
    "in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),eth_type(0x0800),"
    "ipv4(src=1.2.3.4,dst=5.6.7.8,proto=17,tos=0,ttl=64,frag=no),udp(src=1,dst=2)"
)
FRAME: Final = "5054000000075054000000051234" + 10 * "00"

POOL: Final = {
    "bridge": ("br0", "br1", "nosuch"),
    "port": ("p1", "p2", "q1", "q2", "bond0", "p11", "p12", "pa", "br0", "nosuch"),
    "dp": ("dummy@ovs-dummy", "ovs-dummy", "system@nosuch", "dummy@nosuch", "zzz@foo", "dummy@dx"),
    "number": ("0", "1", "2", "5", "10", "4095", "65535", "65536", "4294967296", "x", ""),
    "mac": ("50:54:00:00:00:01", "ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:00", "50:54:00:00:00", "5:6:7:8:9:a"),
    "ip": ("1.2.3.4", "1.2.3.4/24", "10.0.0.0/8", "::1", "fe80::1/64", "1.2.3", "1.2.3.4/33", "0.0.0.0/0"),
    "odp": (
        "in_port(1),eth(),eth_type(0x0806),arp()", "in_port(1)", "eth()",
        "in_port(p1),eth(),eth_type(0x1234)", UDP, "in_port(1", "in_port(1),bogus(5)",
        "ufid:00000000-0000-0000-0000-000000000002", "ufid:1",
    ),
    "of": (
        "in_port=1", "in_port=1,udp,nw_src=1.1.1.1", "in_port=p1,tcp,tp_dst=80", "in_port=99", "ip",
        "tp_dst=80", "in_port=1,bogus=1", "dl_type=0x1234,in_port=2",
    ),
    "actions": (
        "1", "1,2", "drop", "2,drop", "output:2", "push_vlan(vid=5,pcp=0),2",
        "set(eth(src=00:00:00:00:00:01))", "bogus", "mod_tp_src:5,2", "normal", "controller", "ct(commit)",
    ),
    "packet": (FRAME, "5054", "zz"),
    "word": (
        "on", "off", "up", "down", "true", "false", "normal", "any", "v4", "v6", "-m", "-s", "--names",
        "--no-names", "--", "-", "-pmd", "-secs", "-v", "-x", "--bogus", "bogus", "zone=1", "zone=x",
        "zone=1,2", "default=5", "zone=1,limit=5", "limit=5", "gt=1", "gt=x", "pkt_mark=1", "pkt_mark=x",
        "filter=ip",
        "filter=bogus", "type=ovs", "type=all", "type=bogus", "pmd=0", "--generate", "-generate",
        "-consistent", "--more", "ct_nw_src=1.2.3.4", "ct_nw_proto=17,ct_tp_src=5", "dpif_scalar",
        "study", "generic",
        "autovalidator", "scalar", "clone", "max_vlan_headers", "dpif_netdev:file:dbg", "dpif_netdev",
    ),
}  # fmt: skip
"""Words by kind."""

KINDS: Final = {
    **dict.fromkeys(("bridge", "br_name", "out_br_name", "BRIDGE"), "bridge"),
    **dict.fromkeys(("interface", "port", "member", "iface", "netdev", "name"), "port"),
    "dp": "dp", "flow": "odp", "odp_flow": "odp", "ufid": "odp", "br_flow": "of", "actions": "actions",
    "packet": "packet", "mac": "mac", "MAC": "mac",
    **dict.fromkeys(("IP", "ip_addr", "ipaddr", "ip6addr"), "ip"),
    **dict.fromkeys((
        "hash", "vlan", "basis", "secs", "SECS", "min", "max", "core", "maxconns", "maxfrags", "minfragment",
        "prio", "new-number", "queue_id", "packet_len", "study_pkt_cnt", "before", "after", "usec", "qlen",
        "flow-limit-number", "size",
    ), "number"),
}  # fmt: skip
"""Kind of word that a word of a usage stands for."""

ENDS_OR_WAITS: Final = re.compile(
    r"exit|time/.*|vlog/(close|reopen|set)|version|list-commands|revalidator/pause|bridge/reconnect"
)
"""Commands that end or stop what is compared, or have a test of their own beside this one."""

DIFFERENT: Final = {
    r"coverage/.*": "counts what the implementation does",
    r"memory/show": "counts what the implementation has",
    r"vlog/list": "modules of the implementation; compared in test_appctl.py",
    r"qos/show-types": "our dummies have policers (egress-policer, trtcm-policer), the real ones no QoS",
    r"mdb/show": "has the column of the protocol that later versions of Open vSwitch have",
    r"dpif-netdev/(pmd-stats-show|subtable-lookup-info-get)":
        "counts lookups; compared in test_appctl.py. (With dummy-pmd devices the real one has a thread with "
        "cycles to show; ours has none, and shows none.)",
    r"dpctl/cache-set-size": "takes sizes for what the implementation has",
}
"""Commands whose answers can't be the same ones, and why."""


def kinds(usage: str) -> list[str]:
    """The kinds of word that a usage asks for, in order."""
    return [KINDS[word] for word in re.findall(r"[\w-]+", usage) if word in KINDS]


def lines(rng: random.Random, listing: str) -> Iterator[Line]:
    """Command lines without end, for the commands that `listing` (of `list-commands`) has."""
    rows = [line.split(maxsplit=1) for line in listing.splitlines()[1:]]
    commands = [(row[0], row[1] if len(row) > 1 else "") for row in rows]
    every = [word for words in POOL.values() for word in words]
    while True:
        name, usage = rng.choice(commands)
        if ENDS_OR_WAITS.fullmatch(name) or any(re.fullmatch(command, name) for command in DIFFERENT):
            continue
        wanted = kinds(usage)
        n = rng.choice([0, 1, 2, 3, 4, len(wanted), len(wanted), rng.randint(0, len(usage.split()) + 2)])
        words = []
        for i in range(n):
            draw = rng.random()
            pool = POOL["word"] if draw > 0.65 else POOL[wanted[min(i, len(wanted) - 1)]] if wanted else every
            words.append(rng.choice(every if draw > 0.85 else pool))
        line = (name, *words)
        if not left_out(line):
            yield line


def left_out(line: Line) -> bool:
    """Whether a line isn't asked."""
    return any(re.fullmatch(pattern, " ".join(line), re.DOTALL) for pattern in LEFT_OUT)


LEFT_OUT: Final = {
    # The real switch ends with these.
    r"bond/(enable|disable)-member bond0 \S+ .*": "takes more arguments than it says",
    r"dpctl/ct-(set|del)-limits \S*@\S*( zone=)?": "reads an argument that isn't there",
    r"dpctl/ct-(get|del)-limits (.* )?zone=": "divides an empty list",
    r"netdev-dummy/receive .*--len": "reads an argument that isn't there",
    r"dpctl/\S+ (-m|-s|--names|--no-names|--more)( .*)?": "reads arguments that aren't there behind options",
    # The real switch takes the number that a word begins with, ours says that it is none.
    r"(tnl/(egress_port_range|(arp|neigh)/aging)|dpctl/(ipf-set-\S+|ct-set-maxconns)) "
    r"(.* )?([0-9]+[^0-9 ].*|4294967296)": "a number and more, or too large",
    r"dpctl/normalize-actions \S+ \S+ .*=[0-9]+[^0-9 ].*": "a number and more",
    r"dpctl/(dump-conntrack|ct-stats-show) .*zone=1,.*": "a number and more",
    # Ours take more than the real ones of 3.1.0.
    r"ovs/route/add( \S*){5,}": "src=",
    r"ofproto/trace.* --(no-)?names( .*)?": "options of later versions",
    # What they have in common would be gone.
    r"dpctl/del-(dp|if) (.*@)?ovs-dummy.*": "takes the datapath of the bridges away",
    r"dpctl/(add|set)-if .*": "ports come and go while one looks",
    r"dpctl/add-dp .*": "then nothing is the only datapath any more: in test_appctl.py",
    r"dpctl/(add|mod)-flows?( .*)?": "the switch takes such flows away when it next looks: in test_appctl.py",
    r"netdev-dummy/receive .*": "changes what is learned and counted: in test_appctl.py",
    r"netdev-dummy/(ip[46]addr|set-admin-state) .*": "changes what bridges do: in test_appctl.py",
}
"""Lines that aren't asked, by pattern, and why."""

EXCUSED: Final = {
    r"dpctl/flush-conntrack dummy@ovs-dummy.*": "3.1.0 takes the datapath for a tuple, which later ones mend",
}
"""Lines whose answers may differ, by pattern, and why."""


def excused(line: Sequence[str]) -> bool:
    """Whether the answers to `line` may differ."""
    return any(re.fullmatch(pattern, " ".join(line), re.DOTALL) for pattern in EXCUSED)
