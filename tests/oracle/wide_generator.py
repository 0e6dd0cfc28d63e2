"""Random bridges of what the other generators don't say, from a seed.

Frames as bytes: up to two tags (priority tags among them) of either type, one to four labels, fragments of
both versions of IP, with tunnel metadata and options beside them. Ports in dot1q-tunnel mode. Tables whose
misses go on to the next one, behind resubmits as well. Flows that match on tunnel options; action sets that
pop and push; learn with limits, carried out; headers put around packets and taken off.
"""

from __future__ import annotations

import random

from tests.ofproto_dpif.counting import random_packet
from tests.oracle.generator import IPS, MACS
from tests.oracle.setup import Bridge, Port, Query, Setup
from tests.oracle.wired import over_wire
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError

N_PORTS = 4
N_TABLES = 4
DIALECTS = ("OpenFlow10", "OpenFlow13", "OpenFlow15")
TLVS = [(0x100, 0, 4, 0), (0x100, 1, 8, 1)]
OPTIONS = ["tun_metadata0=0x5", "tun_metadata0=0x5/0xf", "tun_metadata1", "tun_metadata1=0x1000000002",
           "tun_id=5", "tun_src=1.1.1.1"]
MODES: list[dict[str, str]] = [
    {}, {}, {"tag": "2"}, {"trunks": "1,2"}, {"tag": "1", "vlan_mode": "native-untagged"},
    {"tag": "2", "vlan_mode": "dot1q-tunnel"}, {"tag": "1", "vlan_mode": "dot1q-tunnel", "cvlans": "2,3"},
    {"tag": "2", "vlan_mode": "dot1q-tunnel", "qinq-ethtype": "802.1q"},
    {"tag": "2", "vlan_mode": "dot1q-tunnel", "priority-tags": "always"}, {"vlan_mode": "trunk"},
    {"tag": "2", "vlan_mode": "native-tagged", "priority-tags": "if-nonzero"},
]  # fmt: skip
KINDS = [
    "", "", "ip", "ip", "ipv6", "arp", "mpls", "mpls,mpls_bos=0", "mpls,mpls_bos=1", "udp", "udp,tp_dst=2",
    "ip,nw_frag=yes", "ip,nw_frag=first", "ip,nw_frag=later", "ip,nw_frag=not_later", "ipv6,nw_frag=later",
    "udp6", "icmp6", "dl_type=0x8100", "dl_type=0x88b5", "ip,nw_dst=10.0.0.0/8",
]  # fmt: skip
TAGS = ["dl_vlan=1", "dl_vlan=2", "vlan_tci=0x1000/0x1fff", "vlan_tci=0x1000/0x1000",
        "dl_vlan=2,dl_vlan_pcp=3", "dl_vlan_pcp=3"]  # fmt: skip
MISSES = ["", "", "all continue", "0 continue", "1 continue", "2 drop"]


class WideGenerator:
    """A stream of such flows. Each is one that ours accepts; the real switch must too."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.dialect = DIALECTS[seed % 3]

    def flow(self) -> str:
        while True:
            table = self.random.choice([0, 0, *range(N_TABLES)])
            text = f"table={table},priority={self.random.choice([1, 5, 9])}{self.match()} actions="
            kind = text
            text += self.actions(table, kind)
            try:
                over_wire(text, self.dialect)
            except (FlowSyntaxError, OfpError, ValueError):
                continue
            return text

    def match(self) -> str:
        rng = self.random
        parts = [rng.choice(KINDS)]
        if rng.random() < 0.3:
            parts.append(rng.choice(TAGS))
        if rng.random() < 0.3:
            parts.append(f"in_port={rng.randint(1, N_PORTS)}")
        if rng.random() < 0.2:
            parts.append(rng.choice(OPTIONS))
        if rng.random() < 0.15:
            parts.append(rng.choice(["reg0=1", "reg0=0/0x1", "metadata=5"]))
        return "".join(f",{part}" for part in parts if part)

    def actions(self, table: int, kind: str) -> str:
        rng = self.random
        chosen = [self.one(table, kind) for _ in range(rng.choice([1, 2, 2, 3, 4]))]
        if self.dialect != "OpenFlow10":
            if rng.random() < 0.35:
                written = [self.written(kind) for _ in range(rng.choice([1, 2, 3]))]
                chosen.append(f"write_actions({','.join(written)})")
            if rng.random() < 0.15:
                chosen.append("write_metadata:5")
            if table < N_TABLES - 1 and rng.random() < 0.35:
                chosen.append(f"goto_table:{rng.randrange(table + 1, N_TABLES)}")
        return ",".join(chosen)

    def one(self, table: int, kind: str) -> str:
        rng = self.random
        return rng.choice([
            *[f"output:{rng.randint(1, N_PORTS)}"] * 3, "NORMAL", "NORMAL",
            *[self.onward(table)] * 3, *[self.header(kind)] * 5, self.learn(), self.option(),
            "load:1->NXM_NX_REG0[0]", f"sample(probability={rng.choice([100, 65535])},collector_set_id=1)",
            f"check_pkt_larger({rng.choice([50, 80, 1500])})->NXM_NX_REG0[0]",
            f"clone({self.header(kind)},output:{rng.randint(1, N_PORTS)})", "IN_PORT", "controller", "exit",
            self.around(kind),
        ])  # fmt: skip

    def onward(self, table: int) -> str:
        rng = self.random
        if table >= N_TABLES - 1:
            return "output:2"
        there = rng.randrange(table + 1, N_TABLES)
        return rng.choice([f"resubmit(,{there})", f"resubmit({rng.randint(1, N_PORTS)},{there})"])

    def header(self, kind: str) -> str:
        """A header changed, pushed or popped."""
        rng = self.random
        vid = rng.randint(1, 3)
        pool = ["strip_vlan", f"mod_dl_dst:{rng.choice(MACS[:4])}"]
        if self.dialect == "OpenFlow10":
            pool += [f"mod_vlan_vid:{vid}", "mod_vlan_pcp:5"]
        else:
            pool += ["pop_vlan", "push_vlan:0x8100", f"push_vlan:0x88a8,set_field:{0x1000 | vid}->vlan_vid",
                     f"push_vlan:0x8100,set_field:{0x1000 | vid}->vlan_vid"]  # fmt: skip
        if "mpls" in kind:
            pool = ["dec_mpls_ttl", "set_mpls_ttl(9)", "set_mpls_label:55", "pop_mpls:0x8847",
                    "pop_mpls:0x0800", "push_mpls:0x8847", "push_mpls:0x8847,set_mpls_label:77",
                    "pop_mpls:0x86dd"]  # fmt: skip
        elif "ip" in kind or "udp" in kind:
            pool += ["dec_ttl", "dec_ttl", "mod_nw_tos:32", "mod_nw_ttl:9", "push_mpls:0x8847"]
            if "6" not in kind:
                pool += [f"mod_nw_dst:{rng.choice(IPS)}", f"mod_nw_src:{rng.choice(IPS)}"]
            if "udp" in kind:
                pool += ["mod_tp_dst:99"]
        return rng.choice(pool)

    def written(self, kind: str) -> str:
        """An action that an action set takes."""
        return self.random.choice([
            f"output:{self.random.randint(1, N_PORTS)}", "output:2", "pop_vlan", "pop_mpls:0x0800",
            "pop_mpls:0x8847", "dec_ttl", "dec_mpls_ttl", "push_vlan:0x8100", "push_vlan:0x88a8",
            "push_mpls:0x8847", "NORMAL",
            "set_field:02:00:00:00:00:77->eth_src", self.header(kind), "set_queue:2",
        ])  # fmt: skip

    def learn(self) -> str:
        rng = self.random
        words = [f"table={rng.randrange(1, N_TABLES)}", f"priority={rng.choice([3, 7])}",
                 *rng.sample(["NXM_OF_VLAN_TCI[0..11]", "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]",
                              "NXM_OF_ETH_TYPE[]", "NXM_OF_IN_PORT[]"], rng.randint(1, 2)),
                 rng.choice(["output:NXM_OF_IN_PORT[]", "load:1->NXM_NX_REG0[0..3]", ""])]  # fmt: skip
        if rng.random() < 0.7:
            words.append(f"limit={rng.choice([1, 2, 3])}")
            if rng.random() < 0.4:
                words.append("result_dst=NXM_NX_REG0[0]")
        return f"learn({','.join(word for word in words if word)})"

    def option(self) -> str:
        """A change of a tunnel's metadata."""
        if self.dialect == "OpenFlow10":
            return self.random.choice(["set_tunnel:7", "load:0x5->NXM_NX_TUN_METADATA0[0..3]"])
        return self.random.choice([
            "set_field:0x7->tun_metadata0", "set_field:0x5/0xf->tun_metadata1", "set_tunnel:7",
            "move:NXM_NX_TUN_METADATA0[0..15]->NXM_NX_REG1[0..15]",
            "move:NXM_OF_ETH_SRC[0..15]->NXM_NX_TUN_METADATA1[0..15]", "set_field:9.9.9.9->tun_dst",
        ])  # fmt: skip

    def around(self, kind: str) -> str:
        """A header put around the packet, or taken off. The real switch dies if it puts one around that then
        doesn't go out."""
        rng = self.random
        out = "output:LOCAL"
        if self.dialect == "OpenFlow10":
            return out
        inside = rng.choice([
            f"encap(nsh(md_type=1)),set_field:5->nsh_spi,encap(ethernet),{out}", f"decap(),{out}",
            f"decap(),encap(ethernet),{out}", f"decap(),encap(mpls),set_mpls_label:9,encap(ethernet),{out}",
        ])  # fmt: skip
        return f"clone({inside})"


def random_query(rng: random.Random) -> Query:
    """A frame that comes in, perhaps out of a tunnel, with an option: without any, and with the frame's
    bytes, the real switch's traces don't tell of options."""
    flow = f"in_port={rng.randint(1, N_PORTS)}"
    if rng.random() < 0.3:
        flow += f",tun_id={rng.choice([5, 9])},tun_src=1.1.1.1,tun_dst=2.2.2.2"
        flow += rng.choice([",tun_metadata0=0x5", ",tun_metadata0=0x15,tun_metadata1=0x1000000002",
                            ",tun_metadata1=0x9"])  # fmt: skip
    return Query("br0", flow, random_packet(rng).hex())


def random_wide_setup(seed: int, n_flows: int = 25, n_queries: int = 25) -> Setup:
    """A bridge with random ports and flows, and frames for it, which teach it."""
    generator = WideGenerator(seed)
    rng = generator.random
    ports = [Port(f"p{n}", dict(rng.choice(MODES))) for n in range(1, N_PORTS + 1)]
    flows = [generator.flow() for _ in range(n_flows)]
    bridge = Bridge("br0", {}, ports, flows, [], generator.dialect, miss=rng.choice(MISSES), tlvs=TLVS)
    return Setup(f"wide seed {seed}", [bridge], [], [random_query(rng) for _ in range(n_queries)])
