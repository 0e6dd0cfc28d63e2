"""Random flows over every writable field and the larger actions, from a seed, as text.

The second generator beside `generator.py`, whose packets it shares: loads, moves, pushes and pops of
any part of any field that the flow's packets have (by the field registry), conjunctions, learn,
multipath, bundle, controller with all its arguments, tunnels, labels, queues, nested resubmits.
"""

from __future__ import annotations

from tests.oracle.generator import IPS, MACS, N_PORTS, Generator
from tests.oracle.setup import Bridge, Port, Query, Setup
from tests.oracle.wired import over_wire
from vswitch.flow.field import Field, Prereq
from vswitch.flow.fields import FIELDS
from vswitch.flow.match_text import parse_match
from vswitch.flow.prereq import prereqs_ok
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.flow.values import format_value
from vswitch.openflow.errors import OfpError

N_TABLES = 5
SUBJECTS = [
    "", "dl_vlan=10", "ip", "tcp", "udp", "sctp", "icmp", "arp", "ipv6", "tcp6", "udp6",
    "icmp6,icmp_type=135,icmp_code=0", "icmp6,icmp_type=136,icmp_code=0", "mpls", "tcp,dl_vlan=10",
]  # fmt: skip
"""What the packets of a flow have."""
HASHES = [
    "eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3",
]  # fmt: skip
ELSEWHERE = (
    "tun_metadata", "nsh_", "ct_", "nd_reserved", "nd_options_type", "tun_gbp", "tun_erspan", "tun_flags",
)  # fmt: skip
"""Fields that need more than a flow and a packet: option tables, encapsulation, connections."""
FIELDS_TO_WRITE = [f for f in FIELDS if f.writable and not f.name.startswith(ELSEWHERE) and f.oxm]
FIELDS_TO_READ = [f for f in FIELDS if not f.name.startswith(ELSEWHERE) and f.oxm
                  and f.name not in ("recirc_id", "dp_hash", "packet_type", "conj_id")]  # fmt: skip


class ActionGenerator(Generator):
    """A stream of such flows. Each flow is one that ours accepts; the real switch must too."""

    def packet(self) -> str:
        """A packet as flow text; some are neighbour discovery, which the first generator has not."""
        rng = self.random
        if rng.random() < 0.12:
            kind = rng.choice([135, 136])
            link = "nd_sll" if kind == 135 else "nd_tll"
            return (
                f"in_port={self.port()},icmp6,icmpv6_type={kind},icmpv6_code=0,"
                f"nd_target=fe80::{rng.randrange(9)},{link}={rng.choice(MACS)},ipv6_src=fe80::1,nw_ttl=255,dl_src={rng.choice(MACS[:4])}"
            )
        return super().packet()

    def flow(self, table: int, match_all: bool = False) -> str:
        """A valid flow of `table`."""
        while True:
            text = self.candidate(table, match_all)
            try:
                over_wire(text, self.dialect)
            except (FlowSyntaxError, OfpError, ValueError):
                continue
            return text

    def candidate(self, table: int, match_all: bool) -> str:
        """A flow that may be valid."""
        rng = self.random
        subject = "" if match_all else rng.choice(SUBJECTS)
        parts = [f"table={table}", f"priority={rng.choice([1, 10, 100])}"]
        if rng.random() < 0.2:
            parts.append(f"cookie={rng.choice(['0x5', '0xdeadbeef00000001'])}")
        if subject:
            parts.append(subject)
        if not match_all and rng.random() < 0.35:
            parts.append(f"in_port={self.port()}")
        if subject in ("ip", "tcp", "udp") and rng.random() < 0.4:
            parts.append(f"nw_src={rng.choice([*IPS, '10.0.0.0/8'])}")
        if table and rng.random() < 0.3:
            parts.append(rng.choice(["reg0=1", "reg1=0/0xf", "metadata=0x5/0xff", "tun_id=0", "pkt_mark=0"]))
        if not match_all and rng.random() < 0.12:
            return f"{','.join(parts)} actions={self.conjunctions()}"
        if not match_all and rng.random() < 0.06:
            parts.append(f"conj_id={rng.randrange(1, 4)}")
        return f"{','.join(parts)} actions={self.many(table, subject)}"

    def conjunctions(self) -> str:
        rng = self.random
        sizes = {1: 2, 2: 2, 3: 3}
        chosen = rng.sample([1, 2, 3], rng.choice([1, 1, 2]))
        return ",".join(f"conjunction({i},{rng.randrange(1, sizes[i] + 1)}/{sizes[i]})" for i in chosen)

    def many(self, table: int, subject: str) -> str:
        """One to six actions, and in newer OpenFlow perhaps instructions."""
        rng = self.random
        fields = self.fields_of(subject, FIELDS_TO_WRITE)
        chosen = [self.one(table, subject, fields) for _ in range(rng.choice([1, 2, 3, 3, 4, 6]))]
        if self.dialect != "OpenFlow10":
            if rng.random() < 0.2:
                writes = [self.written_one(subject, fields) for _ in range(rng.choice([1, 2, 3]))]
                chosen.append(f"write_actions({','.join(writes)})")
            if rng.random() < 0.15:
                chosen.append(f"write_metadata:{rng.choice(['0x5', '0xff00/0xff00', '0x1/0x3'])}")
            if table < N_TABLES - 1 and rng.random() < 0.4:
                chosen.append(f"goto_table:{rng.randrange(table + 1, N_TABLES)}")
        return ",".join(chosen)

    @staticmethod
    def fields_of(subject: str, fields: list[Field]) -> list[Field]:
        """Those of `fields` that the packets of `subject` have; the packet's own come often."""
        match = parse_match(subject)
        found = [f for f in fields if prereqs_ok(f, match.flow, match.mask)]
        own = [f for f in found if f.prereq is not Prereq.NONE]
        return found + own * 4

    def bits(self, n: int) -> int:
        """A value of `n` bits."""
        rng = self.random
        return rng.choice([0, 1, (1 << n) - 1, rng.getrandbits(n), rng.getrandbits(min(n, 4))])

    def part(self, field: Field, n_bits: int = 0) -> str:
        """All of `field` or a part of it, of `n_bits` bits if that is not 0."""
        rng = self.random
        if not n_bits:
            if rng.random() < 0.5 or not field.maskable:
                return f"{field.name}[]"
            n_bits = rng.randrange(1, field.n_bits + 1)
        first = rng.randrange(field.n_bits - n_bits + 1)
        return f"{field.name}[{first}..{first + n_bits - 1}]"

    def set_one(self, fields: list[Field]) -> str:
        """Write a field in one way or another."""
        rng = self.random
        field = rng.choice(fields)
        if field.name == "arp_op":
            return "load:2->NXM_OF_ARP_OP[]"  # of larger ones a flow keeps eight bits
        if rng.random() < 0.5 and field.name != "vlan_vid":
            whole = rng.random() < 0.5 or not field.maskable
            first = 0 if whole else rng.randrange(field.n_bits)
            n = field.n_bits if whole else rng.randrange(1, min(field.n_bits - first, 64) + 1)
            # A whole field of odd width loaded has a mask on the wire, which shows.
            if n <= 64 and not (n == field.n_bits and n % 8):
                return f"load:{self.bits(n):#x}->{field.name}[{first}..{first + n - 1}]"
        if field.name == "vlan_tci":
            return "strip_vlan"
        value = self.bits(field.n_bits) & field.ones
        if field.name == "vlan_vid":
            return f"set_field:{value | 0x1000}->vlan_vid"  # newer versions insist on the CFI bit
        # In 1.0 the tools write a masked set_field of an address as one without mask.
        if field.maskable and self.dialect != "OpenFlow10" and rng.random() < 0.5:
            mask = self.bits(field.n_bits) & field.ones or 1
            mask = mask - (mask == field.ones)
            if field.n_bits == 128:
                mask |= 0xF << 124  # the tools take a mask that begins with a digit for a length
            return f"set_field:{format_value(field, value & mask)}/{format_value(field, mask)}->{field.name}"
        return f"set_field:{format_value(field, value)}->{field.name}"

    def move(self, subject: str, fields: list[Field]) -> str:
        rng = self.random
        src = rng.choice(self.fields_of(subject, FIELDS_TO_READ))
        dst = rng.choice(fields)
        n = rng.randrange(1, min(src.n_bits, dst.n_bits) + 1)
        if rng.random() < 0.4 and src.n_bits == dst.n_bits:
            return f"move:{src.name}[]->{dst.name}[]"
        return f"move:{self.part(src, n)}->{self.part(dst, n)}"

    def one(self, table: int, subject: str, fields: list[Field]) -> str:
        """One action."""
        rng = self.random
        choice = rng.randrange(24)
        if choice < 5:
            return self.set_one(fields)
        if choice < 7:
            return self.move(subject, fields)
        if choice < 10:
            return self.output()
        if choice < 13:
            return self.go(table)
        if choice == 13:
            src = rng.choice(self.fields_of(subject, FIELDS_TO_READ))
            return f"push:{self.part(src)},pop:{self.part(rng.choice(fields))}"
        if choice == 14:
            algorithm = rng.choice(["modulo_n", "hash_threshold", "hrw", "iter_hash"])
            n = rng.choice([1, 2, 3, 7, 64, 100])
            dst = rng.choice(["NXM_NX_REG0[]", "NXM_NX_REG1[0..7]", "NXM_NX_XXREG1[9..20]"])
            hashed = f"{rng.choice(HASHES)},{rng.randrange(9)}"
            return f"multipath({hashed},{algorithm},{n},{rng.randrange(9)},{dst})"
        if choice == 15:
            tail = f"hrw,ofport,members:{rng.choice(['1,2,3', '4,9', '2'])}"
            return f"bundle({rng.choice(HASHES)},{rng.randrange(9)},{tail})"
        if choice == 16:
            return self.learn(subject)
        if choice == 17:
            return self.controller()
        if choice == 18:
            return f"clone({self.set_one(fields)},{self.output()})"
        if choice in (19, 20):
            return self.header(subject)
        return self.small()

    def go(self, table: int) -> str:
        rng = self.random
        if table >= N_TABLES - 1:
            return self.output()
        there = rng.randrange(table + 1, N_TABLES)
        return rng.choice([f"resubmit(,{there})", f"resubmit(,{there})", f"resubmit({self.port()},{there})"])

    def small(self) -> str:
        rng = self.random
        pool = [
            f"set_tunnel:{rng.choice([0, 5, 0xFFFFFFFF]):#x}", f"set_tunnel64:{rng.getrandbits(64):#x}",
            f"set_queue:{rng.randrange(3)}", "pop_queue", "note:01.02", "exit", "NORMAL", "IN_PORT",
            "output:NXM_NX_REG0[0..15]", "output:NXM_OF_IN_PORT[]", "output:NXM_NX_REG2[16..31]",
            "sample(probability=100,collector_set_id=1)", f"output(port={rng.randrange(1, 9)},max_len=64)",
            "bundle_load(nw_src,3,hrw,ofport,NXM_NX_REG2[16..31],members:1,2,3)",
            "bundle(eth_src,0,active_backup,ofport,members:7,3)",
        ]  # fmt: skip
        if self.dialect == "OpenFlow10":
            pool += [f"enqueue:{rng.randrange(1, N_PORTS + 2)}:{rng.randrange(3)}"] * 2
        return rng.choice(pool)

    def controller(self) -> str:
        rng = self.random
        words = rng.sample([f"max_len={rng.choice([0, 64, 65535])}", "reason=no_match", "reason=invalid_ttl",
                            "id=7", "userdata=01.02.03.ff", self.pause()], rng.randrange(4))  # fmt: skip
        words = list({word.partition("=")[0]: word for word in words}.values())
        return f"controller({','.join(words)})" if words else "controller"

    def pause(self) -> str:
        """Pauses only in 1.0: with an action set the real switch aborts where it can't pause."""
        return "pause" if self.dialect == "OpenFlow10" else "max_len=9"

    def learn(self, subject: str) -> str:
        """A learn action. The traces have no packet, so that only what it looks at shows."""
        rng = self.random
        readable = [f for f in self.fields_of(subject, FIELDS_TO_READ) if f.n_bits <= 64]
        words = ["table=9", f"priority={rng.randrange(9)}", f"NXM_NX_REG0[]={rng.randrange(9)}"]
        for _ in range(rng.randrange(3)):
            src = rng.choice(readable)
            n = rng.randrange(1, min(src.n_bits, 32) + 1)
            words.append(rng.choice([
                f"NXM_NX_REG1[0..{n - 1}]={self.part(src, n)}",
                f"load:{self.part(src, n)}->NXM_NX_REG2[0..{n - 1}]",
                "output:NXM_OF_IN_PORT[]", "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]", "NXM_OF_VLAN_TCI[0..11]",
            ]))  # fmt: skip
        words += rng.sample(["limit=3", "result_dst=NXM_NX_REG3[0]", "delete_learned", "fin_idle_timeout=1"],
                            rng.randrange(2))  # fmt: skip
        return f"learn({','.join(words)})"

    def header(self, subject: str) -> str:
        """A header pushed, popped or counted down."""
        rng = self.random
        if "mpls" in subject:
            return rng.choice(["dec_mpls_ttl", "set_mpls_ttl(7)", "set_mpls_label:55", "set_mpls_tc:2",
                               "push_mpls:0x8847", "push_mpls:0x8848", "pop_mpls:0x8847"])  # fmt: skip
        if subject in ("", "arp"):
            tag = "mod_vlan_pcp:6" if self.dialect == "OpenFlow10" else "push_vlan:0x8100"
            return rng.choice(["strip_vlan", "mod_vlan_vid:20", "mod_vlan_pcp:5", tag,
                               "mod_dl_src:50:54:00:00:00:77"])  # fmt: skip
        pool = ["dec_ttl", "dec_ttl(1,2)", "strip_vlan"]
        if subject.startswith(("tcp", "udp", "sctp")):
            pool.append("push_mpls:0x8847")
        if "tcp" in subject:
            pool.append("fin_timeout(idle_timeout=5)")
        if "ip" in subject or "tcp" in subject or "udp" in subject:
            pool += ["mod_nw_tos:184", "mod_nw_ttl:9", "mod_nw_ecn:1"]
        return rng.choice(pool)

    def written_one(self, subject: str, fields: list[Field]) -> str:
        """An action that an action set takes."""
        rng = self.random
        return rng.choice([self.output(), self.set_one(fields), self.header(subject), "NORMAL",
                           f"set_queue:{rng.randrange(3)}"])  # fmt: skip


def random_action_setup(seed: int, n_flows: int = 30, n_queries: int = 20) -> Setup:
    """A bridge with random flows of these actions, and packets to trace."""
    generator = ActionGenerator(seed, ("OpenFlow10", "OpenFlow15")[seed % 2])
    ports = [Port(f"p{n}") for n in range(1, N_PORTS + 1)]
    flows = [generator.flow(0, True)] + [
        generator.flow(generator.random.choice([0, 0, *range(N_TABLES)])) for _ in range(n_flows)
    ]
    bridge = Bridge("br0", {}, ports, flows, [], generator.dialect)
    queries = [Query("br0", generator.packet()) for _ in range(n_queries)]
    return Setup(f"actions {seed}", [bridge], [], queries)
