"""Random command lines of `ofproto/trace` and `ofproto/trace-packet-out`: what to trace as OpenFlow or
datapath flow, packets as bytes, all options, and lines with an argument too few or too many."""

from __future__ import annotations

import random
from typing import Final

from tests.ofproto_dpif.counting import random_packet
from tests.oracle.flow_words import FlowWords
from tests.oracle.odp_words import OdpWords
from tests.oracle.setup import Bridge, Port, Setup

FLOWS: Final = [
    "table=0,priority=1,actions=resubmit(,1),resubmit(,2)",
    "table=0,priority=5,arp,actions=NORMAL",
    "table=0,priority=5,ip,nw_frag=later,actions=output:2",
    "table=0,priority=4,udp,actions=ct(table=1),output:3",
    "table=0,priority=4,dl_vlan=5,actions=strip_vlan,output:2",
    "table=1,ip,actions=dec_ttl,output:2",
    "table=1,ipv6,actions=load:5->NXM_NX_REG0[],output:NXM_NX_REG0[0..15],output:3",
    "table=1,mpls,actions=pop_mpls:0x0800,resubmit(,2)",
    "table=1,ct_state=+trk+new,udp,actions=ct(commit),output:1",
    "table=2,priority=1,actions=NORMAL",
    "table=2,priority=5,tcp,actions=learn(table=9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
    "output:NXM_OF_IN_PORT[]),resubmit(,9)",
    "table=2,priority=5,tun_metadata0=5,actions=output:3",
    "table=2,priority=6,dl_type=0x894f,actions=decap(),output:2",
    "table=3,actions=output:3,group:1",
    "table=3,reg0=5,actions=group:2",
]
GROUPS: Final = [
    "group_id=1,type=all,bucket=output:1,bucket=dec_ttl,output:2",
    "group_id=2,type=indirect,bucket=output:2",
    "group_id=3,type=select,bucket=weight=1,output:1,bucket=weight=2,output:3",
]
TLVS: Final = [(0x100, 0, 4, 0), (0x100, 1, 8, 1)]
SETUP: Final = Setup(
    "trace lines",
    [Bridge("br0", {}, [Port(f"p{n}") for n in (1, 2, 3)], FLOWS, GROUPS, "OpenFlow15", tlvs=TLVS)],
)


class TraceLines:
    """A stream of command lines, each as its words."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words = FlowWords(self.rng)
        self.odp = OdpWords(self.rng)

    def line(self) -> list[str]:
        """A command with its arguments."""
        rng = self.rng
        out = rng.random() < 0.6
        words = self.subject()
        if rng.random() < 0.25:
            words.append(self.packet())
        if rng.random() < 0.3:
            for option in rng.choices(self.options(), k=rng.choice([1, 1, 2])):
                at = rng.randrange(len(words) + 1)
                words[at:at] = option.split(" ")
        if out:
            words.append(self.words.actions())
            if rng.random() < 0.3:
                words.insert(
                    0 if rng.random() < 0.97 else len(words), rng.choice(["-consistent", "--consistent"])
                )
        if rng.random() < 0.04:
            del words[rng.randrange(len(words))]
        if rng.random() < 0.04:
            words.insert(
                rng.randrange(len(words) + 1),
                rng.choice(["", "br0", "x", "-", "--", "--bogus", "drop", "-h"]),
            )
        return ["ofproto/trace-packet-out" if out else "ofproto/trace", *words]

    def subject(self) -> list[str]:
        """What is traced."""
        rng = self.rng
        if rng.random() < 0.2:
            key = self.odp.packet_key()
            return (
                [key]
                if rng.random() < 0.5
                else [rng.choice(["ovs-dummy", "dummy@ovs-dummy", "ovs-dummy", "nosuch"]), key]
            )
        bridge = "br0" if rng.random() < 0.98 else rng.choice(["nosuch", "", "ovs-dummy"])
        return [bridge, self.words.flow()]

    def options(self) -> list[str]:
        rng = self.rng
        states = rng.choice(
            [
                "trk,est",
                "trk,new",
                "trk",
                "trk,inv",
                "trk,rel,rpl",
                "new",
                "x",
                "",
                "trk|est",
                "trk,new,snat",
                "trk,dnat",
            ]
        )
        return [
            "-generate",
            "--generate",
            "-generate",
            "--names",
            "--no-names",
            f"--ct-next {states}",
            f"--ct-next {states} --ct-next trk,est",
            "--ct-next",
            f"--l7-len {rng.choice(['0', '10', '-1', 'x', '64000', '64001'])} -generate",
            f"--l7 {rng.choice(['0102', '01', 'x', '', '012'])} -generate",
            "--l7 00",
            "-consistent",
        ]

    def packet(self) -> str:
        """A frame in hexadecimal, perhaps cut off."""
        rng = self.rng
        text = random_packet(rng).hex()
        how = rng.random()
        if how < 0.15:
            text = text[: rng.randrange(len(text))]
        elif how < 0.2:
            text = self.words.spoilt(text, 1.0)
        elif how < 0.25:
            text = " ".join(text[i : i + 4] for i in range(0, len(text), 4))
        return text
