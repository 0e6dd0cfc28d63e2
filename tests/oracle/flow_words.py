"""Random matches and actions as text, from every field of ovs-fields(7) and every action of ovs-actions(7).

Other generators make flows that a switch takes; here most are sound, some have a value that doesn't fit or
lack what they need, and some are no longer text of that form at all (`spoilt`).
"""

from __future__ import annotations

import random
from typing import Final

from tests.oracle.generator import IP6S, IPS, MACS
from vswitch.flow.field import Field, Format
from vswitch.flow.fields import FIELDS

N_PORTS: Final = 3
FEW_OPTIONS: Final = ("tun_metadata0", "tun_metadata1", "tun_metadata2", "tun_metadata63")
"""Tunnel options are named often enough by these. The first two are mapped."""
NAMED: Final = [
    f
    for f in FIELDS
    if (not f.name.startswith("tun_metadata") or f.name in FEW_OPTIONS) and f.name != "recirc_id"
]
"""Each switch has recirculation ids of its own."""
OTHER_NAMES: Final = (
    "dl_src",
    "dl_dst",
    "dl_type",
    "nw_src",
    "nw_dst",
    "tp_src",
    "tp_dst",
    "nw_frag",
    "arp_spa",
    "nw_ecn",
    "ip_ecn",
    "ip_proto",
    "vlan_tci1",
    "tunnel_id",
    "icmpv4_type",
    "nosuch",
    "priority",
    "table",
    "cookie",
    "idle_timeout",
    "nd_options_type",
    "NXM_OF_IP_SRC",
    "OXM_OF_ETH_TYPE",
    "nsh_c1",
    "nw_ttl",
)
PROTOCOLS: Final = (
    "ip",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "arp",
    "rarp",
    "ipv6",
    "tcp6",
    "udp6",
    "sctp6",
    "icmp6",
    "mpls",
    "mplsm",
    "eth",
    "dl_type=0x894f",
    "dl_type=0x88b5",
    "packet_type=(1,0x800)",
    "icmp6,icmpv6_type=135",
    "icmp6,icmpv6_type=136,icmpv6_code=0",
    "ip,nw_frag=first",
    "ip,nw_frag=later",
    "ipv6,nw_frag=yes",
    "vlan",
    "dl_type=0x8100",
    "mpls,mpls_bos=0",
    "igmp",
    "ip,nw_proto=2",
    "packet_type=(1,0x894f)",
)
OF_PROTOCOL: Final = {
    "tcp": ("tcp_src", "tcp_dst", "tcp_flags"),
    "udp": ("udp_src", "udp_dst"),
    "sctp": ("sctp_src",),
    "icmp": ("icmp_type", "icmp_code"),
    "arp": ("arp_op", "arp_spa", "arp_sha", "arp_tha"),
    "icmp6": ("icmpv6_type", "icmpv6_code"),
    "mpls": ("mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl"),
    "dl_type=0x894f": ("nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si", "nsh_c1", "nsh_ttl", "nsh_flags"),
    "icmp6,icmpv6_type=135": ("nd_target", "nd_sll", "icmpv6_code"),
}
ADDRESSES: Final = ("nw_src", "nw_dst", "nw_tos", "nw_ttl", "ip_dscp", "nw_ecn", "nw_proto")
ADDRESSES6: Final = ("ipv6_src", "ipv6_dst", "ipv6_label", "nw_tos", "nw_ttl", "nw_proto")
FLAG_WORDS: Final = {
    Format.TCP_FLAGS: (
        "+syn-ack",
        "+syn+ack",
        "syn|ack",
        "0x12",
        "-rst",
        "+fin+psh-urg",
        "+nosuch",
        "0x1000",
        "0x002/0xfff",
        "+syn+syn",
    ),
    Format.CT_STATE: (
        "+trk",
        "+trk+new",
        "+trk-new",
        "+est",
        "trk|est",
        "0x21",
        "-trk",
        "0x100",
        "+trk+inv+new",
        "+trk+snat",
        "0",
        "0x20/0x20",
        "+trk+est-rpl",
    ),
    Format.TUN_FLAGS: ("+oam", "-oam", "oam", "0", "1", "+df", "0x2", "+oam-oam"),
    Format.FRAG: ("no", "yes", "first", "later", "not_later", "nosuch", "0", "1"),
    Format.PACKET_TYPE: (
        "(0,0)",
        "(1,0x800)",
        "(1,0x86dd)",
        "(1,0x894f)",
        "(1,0x8847)",
        "(0,1)",
        "(2,5)",
        "0",
        "(0,0x800)",
        "(1,0)",
        "0x10800",
        "(1,0x800",
    ),
    Format.OFP_PORT: (
        "1",
        "2",
        "3",
        "LOCAL",
        "IN_PORT",
        "CONTROLLER",
        "ANY",
        "p1",
        "p3",
        "nosuch",
        "0",
        "77",
        "65533",
        "65280",
        "NONE",
        "all",
        "0xffff",
        "65536",
    ),
    Format.OFP_PORT_OXM: (
        "1",
        "LOCAL",
        "p2",
        "nosuch",
        "ANY",
        "UNSET",
        "65279",
        "65280",
        "0xfffffffe",
        "IN_PORT",
    ),
}
ENCAPS: Final = ("nsh(md_type=1)", "nsh(md_type=2)", "ethernet", "mpls", "mpls_mc", "nsh", "x")
TABLES: Final = ("1", "2", "3", "9", "254", "255", "")
CLAUSES: Final = ("1/2", "2/2", "3/2", "1/1", "0/2", "1/64", "1/65")
SPOILERS: Final = "=,()/:->[]x .\"'#%"


class FlowWords:
    """A stream of such text. The real switch dies of push_mpls of any other type.
    It takes numbers of addresses modulo 256 and others modulo
    their 32 or 64 bits, and ignores what follows packet_type's bracket."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    # Values.

    def value(self, field: Field) -> str:
        """A value for `field`, in most cases one that fits."""
        rng = self.rng
        if field.fmt in FLAG_WORDS:
            return rng.choice(FLAG_WORDS[field.fmt])
        if field.fmt is Format.IPV4:
            return rng.choice([*IPS, *IPS, "::1", "10.0.0", "nosuch"])
        if field.fmt is Format.IPV6:
            return rng.choice([*IP6S, *IP6S, "10.0.0.1", "::ffff:1.2.3.4", "1::2::3"])
        if field.fmt is Format.ETHERNET:
            return rng.choice([*MACS, *MACS, "50:54:00:00:01", "50-54-00-00-00-01", "5:4:0:0:0:1"])
        n = min(field.n_bits, 64)
        return self.number(n)

    def number(self, n_bits: int) -> str:
        """A number that fits `n_bits` bits, as a rule."""
        rng = self.rng
        full = (1 << n_bits) - 1
        chosen = rng.choice([0, 1, 1, 2, 5, full, rng.getrandbits(n_bits), rng.getrandbits(min(n_bits, 4))])
        if rng.random() < 0.04:
            return rng.choice(["", "0x", "nosuch", "010", *([str(full + 1)] if n_bits < 32 else [])])
        return hex(chosen) if rng.random() < 0.4 else str(chosen)

    def masked(self, field: Field) -> str:
        """A value with a mask."""
        rng = self.rng
        value = self.value(field)
        if field.fmt is Format.PACKET_TYPE:
            return value
        if field.fmt is Format.IPV4:
            return f"{value}/{rng.choice(['8', '24', '32', '0', '33', '255.255.0.0', '255.0.255.0'])}"
        if field.fmt is Format.IPV6:
            return f"{value}/{rng.choice(['64', '128', '0', '129', 'ffff::ffff', '10'])}"
        if field.fmt is Format.ETHERNET:
            return f"{value}/{rng.choice(['ff:ff:ff:00:00:00', '01:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff'])}"
        return f"{value}/{self.number(min(field.n_bits, 64))}"

    # Flows.

    def flow(self) -> str:
        """A packet as words."""
        rng = self.rng
        words: list[str] = []
        if rng.random() < 0.9:
            words.append(f"in_port={rng.choice(['1', '2', '3', 'LOCAL', 'p1', '1', '2', self.port()])}")
        if rng.random() < 0.9:
            words += self.protocol()
        for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 4])):
            words.append(self.any_word())
        if rng.random() < 0.1:
            rng.shuffle(words)
        return self.spoilt(",".join(words), 0.05)

    def protocol(self) -> list[str]:
        """A kind of packet, and some fields that it has."""
        rng = self.rng
        name = rng.choice(PROTOCOLS)
        fields = list(OF_PROTOCOL.get(name, ()))
        if name in ("ip", "tcp", "udp", "sctp", "icmp"):
            fields += ADDRESSES
        if "6" in name and not name.startswith("dl"):
            fields += ADDRESSES6
            fields += OF_PROTOCOL.get(name.removesuffix("6"), ())
        fields += ["eth_src", "eth_dst", "vlan_tci", "dl_vlan", "vlan_vid", "dl_vlan_pcp"]
        by_name = {f.name: f for f in FIELDS} | {n: f for f in FIELDS for n in f.aliases}
        words = [name]
        chosen = rng.sample(fields, min(len(fields), rng.choice([0, 1, 2, 3])))
        return words + [f"{name}={self.value(by_name[name])}" for name in chosen if name in by_name]

    def any_word(self) -> str:
        """A field that the packet need not have."""
        rng = self.rng
        if rng.random() < 0.08:
            return f"{rng.choice(OTHER_NAMES)}={self.number(16)}"
        field = rng.choice(NAMED)
        value = self.masked(field) if rng.random() < 0.1 else self.value(field)
        return f"{field.name}={value}" if rng.random() < 0.98 else field.name

    def port(self) -> str:
        return self.rng.choice(FLAG_WORDS[Format.OFP_PORT])

    # Actions.

    def actions(self, depth: int = 0) -> str:
        """A list of actions."""
        rng = self.rng
        n = rng.choice([1, 1, 2, 2, 3, 4]) if not depth else rng.choice([0, 1, 1, 2])
        text = ",".join(self.action(depth) for _ in range(n))
        return text if depth else self.spoilt(text, 0.06)

    def part(self, n_bits: int = 0) -> str:
        """A field, or a part of it."""
        rng = self.rng
        field = rng.choice(NAMED)
        if rng.random() < 0.5:
            field = rng.choice(
                [f for f in NAMED if f.name.startswith(("reg", "eth_", "ip_", "xreg", "tcp_"))]
            )
        names = [field.name, *(h.name for h in field.oxm)]
        name = rng.choice(names)
        how = rng.random()
        if n_bits and n_bits <= field.n_bits and how < 0.7:
            low = rng.randrange(field.n_bits - n_bits + 1)
            return f"{name}[{low}..{low + n_bits - 1}]"
        if how < 0.5:
            return f"{name}[]"
        low = rng.randrange(field.n_bits)
        return rng.choice(
            [
                name,
                f"{name}[{low}]",
                f"{name}[0..{low}]",
                f"{name}[{low}..{field.n_bits}]",
                f"{name}[{low}..0]",
            ]
        )

    def action(self, depth: int) -> str:
        """One action."""
        rng = self.rng
        field = rng.choice(NAMED)
        out = rng.choice(["output:1", "output:2", "2", "3", "LOCAL", "output:p2", f"output:{self.port()}"])
        pool = [
            out,
            out,
            out,
            out,
            rng.choice(["NORMAL", "FLOOD", "ALL", "IN_PORT", "TABLE", "CONTROLLER", "drop"]),
            f"output:{self.part()}",
            f"output(port={self.port()},max_len={self.number(16)})",
            f"controller(max_len={self.number(16)},reason={rng.choice(['action', 'no_match', 'x'])})",
            rng.choice(
                [
                    "controller(pause)",
                    "controller(userdata=01.02,pause)",
                    "controller(id=3)",
                    "controller(meter_id=1)",
                    "controller:100",
                    "controller()",
                    "controller(bad)",
                ]
            ),
            f"enqueue:{self.port()}:{self.number(8)}",
            f"bundle({self.hash()},0,{self.choice()},members:1,2)",
            f"bundle_load({self.hash()},0,{self.choice()},{self.part()},members:1,2)",
            f"group:{rng.choice(['1', '2', '3', '77', 'x'])}",
            f"mod_vlan_vid:{self.number(12)}",
            f"mod_vlan_pcp:{self.number(3)}",
            "strip_vlan",
            "pop_vlan",
            f"push_vlan:{rng.choice(['0x8100', '0x88a8', '0x800', '5'])}",
            f"push_mpls:{rng.choice(['0x8847', '0x8848'])}",
            f"pop_mpls:{rng.choice(['0x0800', '0x86dd', '0x8847', '0x6558', '5'])}",
            f"encap({rng.choice(ENCAPS)})",
            f"decap({rng.choice(['', '', 'packet_type(ns=0,type=0)', 'packet_type(ns=1,type=0x800)', 'x'])})",
            f"mod_dl_src:{rng.choice(MACS)}",
            f"mod_dl_dst:{rng.choice(MACS)}",
            f"mod_nw_src:{rng.choice(IPS)}",
            f"mod_nw_dst:{rng.choice(IPS)}",
            f"mod_nw_tos:{self.number(8)}",
            f"mod_nw_ecn:{self.number(2)}",
            f"mod_nw_ttl:{self.number(8)}",
            f"mod_tp_src:{self.number(16)}",
            f"mod_tp_dst:{self.number(16)}",
            "dec_ttl",
            "dec_ttl(1,2)",
            f"set_mpls_label:{self.number(20)}",
            f"set_mpls_tc:{self.number(3)}",
            f"set_mpls_ttl({self.number(8)})",
            "dec_mpls_ttl",
            "dec_nsh_ttl",
            *[f"set_field:{self.value(field)}->{field.name}"] * 6,
            f"set_field:{self.masked(field)}->{field.name}",
            f"load:{self.number(16)}->{self.part()}",
            f"load:{self.number(8)}->{self.part(8)}",
            f"move:{self.part(8)}->{self.part(8)}",
            f"move:{self.part()}->{self.part()}",
            f"push:{self.part()}",
            f"push:{self.part(8)},pop:{self.part(8)}",
            f"pop:{self.part()}",
            f"set_tunnel:{self.number(32)}",
            f"set_tunnel64:{self.number(64)}",
            f"set_queue:{self.number(32)}",
            "pop_queue",
            f"multipath({self.hash()},50,{rng.choice(['modulo_n', 'hrw', 'hash_threshold', 'iter_hash'])},"
            f"{rng.choice(['1', '4', '65536', '0'])},0,{self.part(8)})",
            f"resubmit({rng.choice(['', '1', '2', self.port()])},{rng.choice(TABLES)})",
            f"resubmit:{self.port()}",
            f"resubmit(,{rng.choice('12')},ct)",
            f"goto_table:{self.number(8)}",
            f"write_metadata:{self.number(64)}",
            "clear_actions",
            "exit",
            f"note:{rng.choice(['01.02.03', '0', ''])}",
            f"fin_timeout(idle_timeout={self.number(16)})",
            "fin_timeout(hard_timeout=5,idle_timeout=9)",
            f"sample(probability={self.number(16)},collector_set_id={self.number(32)})",
            "sample(probability=100,sampling_port=1,egress)",
            "sample()",
            self.learn(),
            f"conjunction({self.number(8)},{rng.choice(CLAUSES)})",
            self.ct(),
            self.ct(),
            "ct_clear",
            f"check_pkt_larger({self.number(16)})->{self.part(1)}",
            f"meter:{rng.choice(['1', '2', '77'])}",
            f"delete_field:{field.name}",
            "debug_recirc",
            "debug_slow",
            f"nat({self.nat()})",
            "nosuch",
            "nosuch:5",
        ]
        if depth < 2:
            inside = self.actions(depth + 1)
            pool += [*[f"clone({inside})"] * 2, f"write_actions({inside})", self.ct(inside)]
        return rng.choice(pool)

    def hash(self) -> str:
        return self.rng.choice(
            [
                "eth_src",
                "symmetric_l4",
                "symmetric_l3l4",
                "symmetric_l3l4+udp",
                "nw_src",
                "nw_dst",
                "symmetric_l3",
                "nosuch",
            ]
        )

    def choice(self) -> str:
        return self.rng.choice(["hrw,ofport", "active_backup,ofport", "hrw", "nosuch,ofport"])

    def nat(self) -> str:
        return self.rng.choice(
            [
                "",
                "src=1.1.1.1",
                "dst=1.1.1.1-1.1.1.9:80-90",
                "src=[fe80::1]:5",
                "src=fe80::1",
                "src=1.1.1.1,dst=2.2.2.2",
                "random",
                "src=1.1.1.1,hash",
                "src",
            ]
        )

    def ct(self, inside: str = "load:1->NXM_NX_CT_LABEL[0..7]") -> str:
        """Connection tracking, with some of its arguments."""
        rng = self.rng
        pool = [
            "commit",
            "force",
            f"zone={self.number(16)}",
            f"zone={self.part(16)}",
            "table=2",
            "table=3",
            f"table={self.number(8)}",
            f"nat({self.nat()})",
            "nat",
            "alg=ftp",
            "alg=tftp",
            "alg=x",
            f"exec(set_field:{self.number(32)}->ct_mark)",
            f"exec({inside})",
            "nosuch",
        ]
        chosen = rng.sample(pool[:-1] if rng.random() < 0.97 else pool, rng.choice([0, 1, 1, 2, 3]))
        return f"ct({','.join(chosen)})" if chosen else "ct"

    def learn(self) -> str:
        """A flow to learn."""
        rng = self.rng
        pool = [
            f"table={self.number(8)}",
            "table=9",
            "priority=5",
            "idle_timeout=10",
            "hard_timeout=9",
            "cookie=5",
            "fin_idle_timeout=3",
            "send_flow_rem",
            "delete_learned",
            "limit=2",
            "result_dst=reg0[0]",
            "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]",
            "eth_type=0x800",
            "nw_proto=6",
            "NXM_OF_IN_PORT[]",
            "NXM_OF_VLAN_TCI[0..11]",
            "output:NXM_OF_IN_PORT[]",
            "load:5->NXM_NX_REG0[]",
            f"load:{self.part(8)}->{self.part(8)}",
            f"{self.part(8)}={self.part(8)}",
            f"output:{self.part()}",
            self.any_word(),
            "nosuch",
        ]
        return (
            f"learn({','.join(rng.sample(pool[:-1] if rng.random() < 0.9 else pool, rng.choice([1, 2, 3])))})"
        )

    # What is no longer text of its form.

    def spoilt(self, text: str, probability: float) -> str:
        """`text`, with a character changed, added or gone now and then."""
        rng = self.rng
        if rng.random() >= probability or not text:
            return text
        at = rng.randrange(len(text))
        return rng.choice(
            [text[:at] + text[at + 1 :], text[:at] + rng.choice(SPOILERS) + text[at:], text[:at]]
        )
