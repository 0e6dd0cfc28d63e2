"""Random bridges, flow tables and packets from a seed, as text.

The same seed gives the same tables and packets, on any machine: the oracle feeds them to the
real switch and to ours, the benchmarks measure with them. What is random is chosen from small
pools of values, so that packets hit flows, flows overlap, and tables lead to each other.

    generator = Generator(seed=7)
    table = generator.flows(50)                 # lines for ovs-ofctl add-flows
    packets = [generator.packet() for _ in range(20)]    # flow text for ofproto/trace
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.setup import Bridge, Port, Query, Setup

N_PORTS = 6
N_TABLES = 6
MACS = [
    "50:54:00:00:00:01",
    "50:54:00:00:00:02",
    "50:54:00:00:01:03",
    "50:54:00:00:00:04",
    "ff:ff:ff:ff:ff:ff",
    "01:00:5e:00:00:05",
    "01:80:c2:00:00:03",
]
IPS = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "192.168.0.1", "192.168.0.129", "224.0.0.5"]
PREFIXES = ["10.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "192.168.0.0/25", "192.168.0.128/25", "10.0.0.2/31"]
IP6S = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "fe80::1", "ff02::1"]
PREFIXES6 = ["2001:db8::/32", "2001:db8::/64", "fe80::/10", "2001:db8::2/127"]
PORTS = [22, 53, 80, 443, 1000, 1024, 4096, 65535]
VLANS = [1, 10, 20, 4095]
DSCPS = [0, 8, 184, 252]
TYPES = ["0x0900", "0x1234", "0x88cc", "0x05ff"]


@dataclass(frozen=True)
class Kind:
    """A kind of packet: its name in a match, and the fields that it has beyond Ethernet's."""

    name: str
    fields: tuple[str, ...] = ()


IP = ("nw_src", "nw_dst", "nw_tos", "nw_ttl")
IP6 = ("ipv6_src", "ipv6_dst", "nw_tos", "nw_ttl", "ipv6_label")
KINDS = [
    Kind(""),
    Kind("arp", ("arp_spa", "arp_tpa", "arp_op", "arp_sha")),
    Kind("ip", (*IP, "nw_proto")),
    Kind("icmp", (*IP, "icmp_type", "icmp_code")),
    Kind("tcp", (*IP, "tcp_src", "tcp_dst", "tcp_flags")),
    Kind("tcp", (*IP, "tcp_src", "tcp_dst", "tcp_flags")),
    Kind("udp", (*IP, "udp_src", "udp_dst")),
    Kind("sctp", (*IP, "sctp_src", "sctp_dst")),
    Kind("ipv6", (*IP6, "nw_proto")),
    Kind("tcp6", (*IP6, "tcp_src", "tcp_dst")),
    Kind("udp6", (*IP6, "udp_src", "udp_dst")),
    Kind("icmp6", (*IP6, "icmpv6_type", "icmpv6_code")),
    Kind("mpls", ("mpls_label", "mpls_tc", "mpls_bos")),
]
OVER_IPV4 = ("ip", "icmp", "tcp", "udp", "sctp")
OVER_IPV6 = ("ipv6", "tcp6", "udp6", "icmp6")
TCP_FLAGS = ["+syn-ack", "+syn+ack", "+ack", "-rst", "+fin+psh-urg"]


class Generator:
    """A stream of random text from `seed`. `dialect` is the OpenFlow version of the flows."""

    def __init__(self, seed: int, dialect: str = "OpenFlow10") -> None:
        self.random = random.Random(seed)
        self.dialect = dialect

    # Packets.

    def packet(self) -> str:
        """A packet as flow text for `ofproto/trace`."""
        rng = self.random
        kind = rng.choice(KINDS)
        parts = [f"in_port={self.port()}"]
        if kind.name:
            parts.append(kind.name)
        elif rng.random() < 0.5:
            parts.append(f"dl_type={rng.choice(TYPES)}")
        parts += [f"dl_src={rng.choice(MACS[:4])}", f"dl_dst={rng.choice(MACS)}"]
        if rng.random() < 0.4:
            tag = rng.choice([*VLANS, 0])
            parts.append(f"vlan_tci={0x1000 | tag | rng.choice([0, 0, 0x6000, 0xE000]):#06x}")
        fragment = ""
        if kind.name in (*OVER_IPV4, *OVER_IPV6) and rng.random() < 0.1:
            fragment = rng.choice(["first", "later"])
            parts.append(f"nw_frag={fragment}")
        for name in kind.fields:
            if fragment == "later" and name.startswith(("tcp", "udp", "sctp", "icmp")):
                continue
            parts.append(f"{name}={self.value(name)}")
        return ",".join(parts)

    def value(self, name: str) -> str:
        """An exact value for field `name` of a packet."""
        rng = self.random
        if name in ("nw_src", "nw_dst", "arp_spa", "arp_tpa"):
            return rng.choice(IPS)
        if name in ("ipv6_src", "ipv6_dst"):
            return rng.choice(IP6S)
        if name in ("dl_src", "dl_dst", "arp_sha", "arp_tha"):
            return rng.choice(MACS[:4] if name == "dl_src" else MACS)
        if name.endswith(("_src", "_dst")):
            return str(rng.choice(PORTS))
        pool: dict[str, list[int]] = {
            "nw_tos": DSCPS,
            "nw_ttl": [0, 1, 2, 64, 255],
            "nw_proto": [0, 47, 50, 89],
            "arp_op": [1, 2],
            "icmp_type": [0, 3, 8],
            "icmp_code": [0, 1],
            "icmpv6_type": [1, 128, 129],
            "icmpv6_code": [0],
            "tcp_flags": [0, 2, 0x12, 0x10, 0x19],
            "ipv6_label": [0, 5, 0xFFFFF],
            "mpls_label": [16, 100, 1000],
            "mpls_tc": [0, 5],
            "mpls_bos": [0, 1],
        }
        return str(rng.choice(pool[name]))

    def port(self) -> str:
        """A port that packets come in by."""
        rng = self.random
        return "LOCAL" if rng.random() < 0.08 else str(rng.randrange(1, N_PORTS + 1))

    # Flows.

    def flows(self, n: int) -> list[str]:
        """`n` flows over `N_TABLES` tables, as lines for `ovs-ofctl add-flows`; most tables catch all."""
        rest = [table for table in range(N_TABLES) if self.random.random() < 0.7]
        return [self.flow(table, match_all=True) for table in rest[:n]] + [
            self.flow(self.random.choice([0, 0, 0, *range(N_TABLES)])) for _ in range(n - len(rest))
        ]

    def flow(self, table: int, match_all: bool = False) -> str:
        """One flow of `table`."""
        rng = self.random
        kind, match = (KINDS[0], []) if match_all else self.match(table)
        parts = [f"table={table}", f"priority={rng.choice([0, 1, 10, 100, 1000])}", *match]
        return f"{','.join(parts)} actions={self.actions(table, kind, ','.join(match))}"

    def match(self, table: int) -> tuple[Kind, list[str]]:
        """A match, and the kind of packet that it implies."""
        rng = self.random
        parts: list[str] = []
        kind = rng.choice([KINDS[0], rng.choice(KINDS)])
        if kind.name:
            parts.append(kind.name)
        if rng.random() < 0.4:
            parts.append(f"in_port={self.port()}")
        if rng.random() < 0.25:
            parts.append(rng.choice([f"dl_src={rng.choice(MACS[:4])}", f"dl_dst={rng.choice(MACS)}",
                                     "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
                                     "dl_src=50:54:00:00:00:00/ff:ff:ff:ff:ff:00"]))  # fmt: skip
        if rng.random() < 0.25:
            vlan = f"dl_vlan={rng.choice(VLANS)}"
            no_tag = "vlan_tci=0" if self.dialect == "OpenFlow10" else "vlan_tci=0/0x1fff"
            tcis = ["vlan_tci=0x1000/0x1000", no_tag, "vlan_tci=0x1000/0x1fff"]
            parts.append(rng.choice([vlan, f"{vlan},dl_vlan_pcp=3", *tcis]))
        if table and rng.random() < 0.3:
            parts.append(rng.choice(["reg0=1", "reg0=0", "reg1=0x10/0xf0", "reg2=0x5", "metadata=0x7/0xf"]))
        for name in kind.fields:
            if name not in ("nw_ttl", "mpls_bos") and rng.random() < 0.25:
                parts += [f"{name}={self.matched(name)}"]
        if kind.name in (*OVER_IPV4, *OVER_IPV6) and rng.random() < 0.08:
            has_l4 = any(part.startswith(("tcp_", "udp_", "sctp_", "icmp")) for part in parts)
            parts.append(
                f"nw_frag={rng.choice(['no', 'yes', 'first', 'not_later'] + ['later'] * (not has_l4))}"
            )
        return kind, parts

    def matched(self, name: str) -> str:
        """A value or a masked value for field `name` of a match."""
        rng = self.random
        if rng.random() < 0.5:
            if name in ("nw_src", "nw_dst", "arp_spa", "arp_tpa"):
                return rng.choice(PREFIXES)
            if name in ("ipv6_src", "ipv6_dst"):
                return rng.choice(PREFIXES6)
            if name.endswith(("_src", "_dst")):
                return rng.choice(["0x0400/0xfc00", "0/0x8000", "0x0050/0xfff0"])
        if name == "tcp_flags":
            return rng.choice(TCP_FLAGS)
        return self.value(name)

    # Actions.

    def actions(self, table: int, kind: Kind, match: str) -> str:
        """Actions that are valid for packets of `kind` in `table`."""
        rng = self.random
        if rng.random() < 0.04:
            return "drop"
        chosen = [self.action(table, kind, match) for _ in range(rng.choice([1, 1, 2, 2, 3, 4]))]
        tags = [action for action in chosen if action.startswith("push_vlan")]
        chosen = [action for action in chosen if action not in tags] + tags[:1]
        if self.dialect != "OpenFlow10":
            if rng.random() < 0.2:
                written = [self.written(kind, match) for _ in range(rng.choice([1, 2]))]
                chosen.append(f"write_actions({','.join(dict.fromkeys(written))})")
            elif rng.random() < 0.05:
                chosen.append("clear_actions")
            if rng.random() < 0.15:
                chosen.append(f"write_metadata:{rng.choice(['0x7', '0x5/0xf', '0x70/0xf0'])}")
            if table < N_TABLES - 1 and rng.random() < 0.4:
                chosen.append(f"goto_table:{rng.randrange(table + 1, N_TABLES)}")
        return ",".join(chosen)

    def action(self, table: int, kind: Kind, match: str) -> str:
        """One action."""
        rng = self.random
        pool: list[Callable[[], str]] = [
            *(self.output,) * 4,
            *(lambda: self.forward(table),) * 4,
            lambda: rng.choice(["NORMAL", "NORMAL", "FLOOD", "ALL", "IN_PORT", "LOCAL"]),
            lambda: rng.choice(["NORMAL", "FLOOD", f"resubmit(,{rng.randrange(N_TABLES)})", "exit"]),
            self.register,
            self.register,
            self.stack,
            self.queue,
            lambda: f"set_queue:{rng.randrange(3)}",
            lambda: f"controller(max_len={rng.choice([64, 128, 65535])}{rng.choice(['', ',id=3'])})",
            lambda: f"note:{rng.randrange(256):02x}.{rng.randrange(256):02x}",
            lambda: f"clone({self.ethernet()},{self.output()})",
            self.ethernet,
            self.ethernet,
            *(lambda: self.l3(kind, match),) * 3,
            lambda: self.vlan(match),
        ]
        return rng.choice(pool)()

    def output(self) -> str:
        return f"output:{self.random.randrange(1, N_PORTS + 2)}"

    def forward(self, table: int) -> str:
        """A resubmit to a later table, or from the last one to nowhere."""
        if table >= N_TABLES - 1:
            return self.output()
        return f"resubmit(,{self.random.randrange(table + 1, N_TABLES)})"

    def register(self) -> str:
        rng = self.random
        if self.dialect == "OpenFlow10":
            return rng.choice(
                [
                    "load:0x1->NXM_NX_REG0[]",
                    "load:0x1->NXM_NX_REG1[4..7]",
                    "load:0x5->NXM_NX_REG2[]",
                    "move:NXM_NX_REG0[]->NXM_NX_REG2[]",
                    "move:NXM_OF_ETH_SRC[0..15]->NXM_NX_REG1[0..15]",
                    "move:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]",
                    "load:0x2->NXM_NX_PKT_MARK[]",
                ]
            )
        return rng.choice(["set_field:0x1->reg0", "set_field:0x10/0xf0->reg1", "set_field:0x5->reg2",
                           "move:NXM_NX_REG0[]->NXM_NX_REG2[]", "set_field:0x100000002->xreg1",
                           "set_field:0x7->metadata", "set_field:0x3->pkt_mark"])  # fmt: skip

    def queue(self) -> str:
        rng = self.random
        queue, port = rng.randrange(3), rng.randrange(1, N_PORTS + 1)
        if self.dialect == "OpenFlow10":
            return f"enqueue:{port}:{queue}"
        return f"set_queue:{queue},output:{port},pop_queue"

    def stack(self) -> str:
        return self.random.choice(
            ["push:NXM_NX_REG0[],pop:NXM_NX_REG2[]", "push:NXM_OF_ETH_SRC[],pop:NXM_OF_ETH_DST[]",
             "push:NXM_NX_REG1[0..7]", "pop:NXM_NX_REG0[]"]
        )  # fmt: skip

    def ethernet(self) -> str:
        rng = self.random
        mac = rng.choice(MACS[:4])
        if self.dialect == "OpenFlow10":
            return rng.choice([f"mod_dl_src:{mac}", f"mod_dl_dst:{mac}"])
        return rng.choice([f"set_field:{mac}->eth_src", f"set_field:{mac}->eth_dst",
                           "set_field:00:00:00:00:00:05/00:00:00:00:00:0f->eth_src"])  # fmt: skip

    def vlan(self, match: str) -> str:
        rng = self.random
        vid = rng.choice(VLANS)
        if self.dialect == "OpenFlow10":
            return rng.choice([f"mod_vlan_vid:{vid}", "strip_vlan", f"mod_vlan_pcp:{rng.randrange(8)}",
                               f"mod_vlan_vid:{vid},{self.output()},strip_vlan"])  # fmt: skip
        if "mpls" in match:
            return self.output()
        return f"push_vlan:0x8100,set_field:{0x1000 | vid}->vlan_vid"

    def l3(self, kind: Kind, match: str) -> str:
        """A change of an L3 or L4 field that packets of `kind` have."""
        rng = self.random
        name = kind.name
        if name == "mpls" and self.dialect != "OpenFlow10":
            return self.mpls(match)
        if name not in (*OVER_IPV4, *OVER_IPV6):
            return self.ethernet()
        l4 = name.rstrip("6") if name.rstrip("6") in ("tcp", "udp", "sctp") else ""
        if "nw_frag=later" in match:
            l4 = ""
        port = rng.choice(PORTS)
        if self.dialect == "OpenFlow10":
            pool = ["dec_ttl", f"mod_nw_tos:{rng.choice(DSCPS)}"]
            if name in OVER_IPV4:
                pool += [f"mod_nw_src:{rng.choice(IPS)}", f"mod_nw_dst:{rng.choice(IPS)}"]
            if l4 in ("tcp", "udp"):
                pool += [f"mod_tp_src:{port}", f"mod_tp_dst:{port}"]
            return rng.choice(pool)
        pool = [
            "dec_ttl",
            f"set_field:{rng.choice(DSCPS) >> 2}->ip_dscp",
            f"set_field:{rng.randrange(4)}->nw_ecn",
        ]
        if name in OVER_IPV4:
            pool += [f"set_field:{rng.choice(IPS)}->{rng.choice(['ip_src', 'ip_dst'])}",
                     "set_field:0.0.0.7/0.0.0.255->ip_src",
                     "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]"]  # fmt: skip
        else:
            pool += [f"set_field:{rng.choice(IP6S)}->ipv6_src", "set_field:0x77->ipv6_label"]
        if l4:
            pool += [f"set_field:{port}->{l4}_src", f"set_field:{port}->{l4}_dst"]
        if name == "icmp" and "nw_frag=later" not in match:
            pool += ["set_field:3->icmp_type", "set_field:1->icmp_code"]
        return rng.choice(pool)

    def mpls(self, match: str) -> str:
        """A change of the outermost label; popping it needs to know whether it is the last."""
        rng = self.random
        pool = ["dec_mpls_ttl", "set_mpls_ttl(9)", f"set_field:{rng.choice([16, 77])}->mpls_label"]
        pool += ["set_field:3->mpls_tc", "push_mpls:0x8847,set_field:200->mpls_label"]
        return rng.choice(pool)

    def written(self, kind: Kind, match: str) -> str:
        """An action that an action set takes."""
        rng = self.random
        return rng.choice([self.output(), self.output(), "NORMAL", self.ethernet(), self.l3(kind, match),
                           f"set_queue:{rng.randrange(3)}"])  # fmt: skip

    # Bridges.

    def bridge(self, n_flows: int) -> Bridge:
        """A bridge with `N_PORTS` ports of random VLAN modes, and random flows."""
        rng = self.random
        modes: list[dict[str, str]] = [
            {}, {}, {"tag": "10"}, {"tag": "20"}, {"trunks": "10,20"},
            {"tag": "10", "vlan_mode": "native-tagged"},
            {"tag": "10", "vlan_mode": "native-untagged"}, {"tag": "10", "priority-tags": "if-nonzero"},
            {"tag": "20", "vlan_mode": "native-untagged", "trunks": "10", "priority-tags": "always"},
            {"vlan_mode": "trunk"}, {"no-flood": ""}, {"protected": "true"},
        ]  # fmt: skip
        ports = [Port(f"p{n}", dict(rng.choice(modes))) for n in range(1, N_PORTS + 1)]
        return Bridge("br0", {}, ports, self.flows(n_flows), [], self.dialect)


def random_setup(seed: int, n_flows: int = 40, n_queries: int = 20) -> Setup:
    """A bridge with random ports and flows, packets that its MAC table has seen, and packets to trace."""
    dialect = ("OpenFlow10", "OpenFlow15")[seed % 2]
    generator = Generator(seed, dialect)
    bridge = generator.bridge(n_flows)
    setup = Setup(f"seed {seed}", [bridge])
    setup.learn = [Query("br0", generator.packet()) for _ in range(4)]
    setup.queries = [Query("br0", generator.packet()) for _ in range(n_queries)]
    return setup
