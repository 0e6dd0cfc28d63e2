"""Random keys, masks and actions in the words of ovs-dpctl(8): most are sound, some have a value that doesn't
fit, lack what they need or have it twice, and some are no longer text of that form.

Numbers that don't fit are left out: the real switch takes them modulo their size, ours refuses them. So are
keys of NSH, which the real one prints and can't read, names of ports among actions, which it doesn't know,
and cuts below an Ethernet header, which ours refuses."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tests.oracle.flow_words import SPOILERS
from tests.oracle.generator import IP6S, IPS, MACS

Value = Callable[[], str]

KINDS: Final = (
    ("ipv4 tcp", 0x800, 6),
    ("ipv4 udp", 0x800, 17),
    ("ipv4 sctp", 0x800, 132),
    ("ipv4 icmp", 0x800, 1),
    ("ipv4", 0x800, 47),
    ("ipv6 tcp", 0x86DD, 6),
    ("ipv6 udp", 0x86DD, 17),
    ("ipv6 icmpv6", 0x86DD, 58),
    ("ipv6 icmpv6 nd", 0x86DD, 58),
    ("ipv6", 0x86DD, 43),
    ("arp", 0x806, 0),
    ("arp", 0x8035, 0),
    ("mpls", 0x8847, 0),
    ("mpls", 0x8848, 0),
    ("", 0x894F, 0),
    ("", 0x88B5, 0),
    ("", 0x600, 0),
    ("ipv6 tcp tcp_flags", 0x86DD, 6),
    ("ipv4 tcp tcp_flags", 0x800, 6),
    ("ipv6 icmpv6 nd nd_ext", 0x86DD, 58),
)
"""Words of a key beside the Ethernet type and the protocol that they need."""


METADATA: Final = ("skb_priority", "skb_mark", "ct_state", "ct_zone", "ct_mark", "ct_label", "dp_hash")
MAC_MASKS: Final = ("ff:ff:ff:ff:ff:ff", "01:00:00:00:00:00", "00:00:00:00:00:00", "ff:ff:ff:00:00:00")
TCP_FLAGS: Final = ("syn", "syn|ack", "0x12", "+syn-ack", "0", "x", "+syn", "0/0", "0x2/0x17")
MPLS: Final = {
    "label": ("dec", 20),
    "tc": ("dec", 3),
    "ttl": ("dec", 8),
    "bos": ("dec", 1),
    "eth_type": ("hex", 16),
}
NSH: Final = {
    "flags": ("dec", 2),
    "ttl": ("dec", 6),
    "np": ("dec", 8),
    "spi": ("hex", 24),
    "si": ("dec", 8),
    "c1": ("hex", 32),
    "c4": ("hex", 32),
}
SHARES: Final = ("50.0%", "0%", "100%", "0.1%", "50", "x", "%", "101%", "-1%", "1e1%")
SAMPLES: Final = ("actions(1)", "sample=50%", "", "sample=50%,actions(1", "sample=50%,actions=1")


class OdpWords:
    """A stream of such text."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    # Values.

    def number(self, n_bits: int, hexadecimal: bool = False) -> str:
        rng = self.rng
        full = (1 << n_bits) - 1
        if rng.random() < 0.01:
            return rng.choice(["", "0x", "x", "010"])
        n = rng.choice([0, 1, 1, 2, 5, full, rng.getrandbits(n_bits), rng.getrandbits(min(n_bits, 4))]) & full
        return hex(n) if hexadecimal or rng.random() < 0.1 else str(n)

    def mask(self, n_bits: int) -> str:
        rng = self.rng
        full = (1 << n_bits) - 1
        return hex(rng.choice([full, full, 0, 1, full & ~0xF, rng.getrandbits(n_bits)]))

    def fields(self, places: dict[str, tuple[str, int]], masks: bool, least: int = 0) -> str:
        """Some of the fields of a struct: name -> (kind of value, bits)."""
        rng = self.rng
        names = list(places)
        if rng.random() < 0.4 or len(names) <= least:
            chosen = names
        else:
            chosen = sorted(rng.sample(names, rng.randint(least, len(names))), key=names.index)
        words = []
        for name in chosen:
            how, n_bits = places[name]
            words.append(f"{name}={self.value(how, n_bits, masks and rng.random() < 0.4)}")
        if rng.random() < 0.01:
            words.append(rng.choice(["x=1", "", "src", "src=", "frag=x"]))
        return ",".join(words)

    def value(self, how: str, n_bits: int, masked: bool) -> str:
        rng = self.rng
        if how == "mac":
            value = rng.choice(MACS) if rng.random() < 0.99 else "1:2:3"
            return f"{value}/{rng.choice(MAC_MASKS)}" if masked else value
        if how == "ip":
            value = rng.choice(IPS) if rng.random() < 0.99 else "10.0.0"
            return (
                f"{value}/{rng.choice(['255.255.255.255', '255.0.0.0', '0.0.0.0', '24'])}"
                if masked
                else value
            )
        if how == "ip6":
            value = rng.choice(IP6S) if rng.random() < 0.99 else "1::2::3"
            return (
                f"{value}/{rng.choice(['ffff:ffff::', '::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'])}"
                if masked
                else value
            )
        if how == "frag":
            return rng.choice(["no"] * 8 + ["first", "later", "x"])
        value = self.number(n_bits, how == "hex")
        return f"{value}/{self.mask(n_bits)}" if masked else value

    # Attributes of a key.

    def attr(self, name: str, masks: bool) -> str:
        """`name(...)` with fields that it has."""
        port = {"src": ("dec", 16), "dst": ("dec", 16)}
        structs: dict[str, dict[str, tuple[str, int]]] = {
            "eth": {"src": ("mac", 0), "dst": ("mac", 0)},
            "tcp": port,
            "udp": port,
            "sctp": port,
            "icmp": {"type": ("dec", 8), "code": ("dec", 8)},
            "icmpv6": {"type": ("dec", 8), "code": ("dec", 8)},
            "arp": {
                "sip": ("ip", 0),
                "tip": ("ip", 0),
                "op": ("dec", 16),
                "sha": ("mac", 0),
                "tha": ("mac", 0),
            },
            "nd": {"target": ("ip6", 0), "sll": ("mac", 0), "tll": ("mac", 0)},
            "nd_ext": {"nd_reserved": ("hex", 32), "nd_options_type": ("dec", 8)},
            "packet_type": {"ns": ("dec", 1), "id": ("hex", 16)},
            "mpls": {"label": ("dec", 20), "tc": ("dec", 3), "ttl": ("hex", 8), "bos": ("dec", 1)},
            "vlan": {"vid": ("dec", 12), "pcp": ("dec", 3)},
            "ct_tuple4": {
                "src": ("ip", 0),
                "dst": ("ip", 0),
                "proto": ("dec", 8),
                "tp_src": ("dec", 16),
                "tp_dst": ("dec", 16),
            },
            "ct_tuple6": {
                "src": ("ip6", 0),
                "dst": ("ip6", 0),
                "proto": ("dec", 8),
                "tp_src": ("dec", 16),
                "tp_dst": ("dec", 16),
            },
        }
        if name in structs:
            return f"{name}({self.fields(structs[name], masks)})"
        sizes = {
            "skb_priority": 32,
            "skb_mark": 32,
            "recirc_id": 3,
            "dp_hash": 32,
            "ct_zone": 16,
            "ct_mark": 32,
            "ct_label": 64,
        }
        if name in sizes:
            return f"{name}({self.value('hex', sizes[name], masks and self.rng.random() < 0.3)})"
        rng = self.rng
        if name == "ct_state":
            plain = [
                "0",
                "+trk",
                "trk|new",
                "0x21",
                "new|trk",
                "+trk+new",
                "-trk",
                "+trk-new+est",
                "0x1ff",
                "x",
            ]
            return f"ct_state({rng.choice([*plain, '0/0', '0x21/0x23'] if masks else plain)})"
        if name == "tcp_flags":
            return f"tcp_flags({rng.choice(TCP_FLAGS)})"
        if name == "tunnel":
            return self.tunnel(masks)
        return f"{name}()"

    def tunnel(self, masks: bool) -> str:
        rng = self.rng
        text = self.fields(
            {
                "tun_id": ("hex", 64),
                "src": ("ip", 0),
                "dst": ("ip", 0),
                "tos": ("hex", 8),
                "ttl": ("dec", 8),
                "tp_src": ("dec", 16),
                "tp_dst": ("dec", 16),
            },
            masks,
        )
        words = [text] if text else []
        if rng.random() < 0.2:
            words = ["tun_id=0x5", "ipv6_src=fe80::1", "ipv6_dst=fe80::2"]
        words.append(
            rng.choice(
                [
                    "flags(df|csum)",
                    "flags(df)",
                    "flags()",
                    "flags(-df+csum)",
                    "flags(df|x)",
                    "",
                    "flags(+csum)",
                    "flags(0)",
                    "flags",
                ]
            )
        )
        if rng.random() < 0.3:
            words.insert(
                rng.randrange(len(words) + 1),
                rng.choice(
                    [
                        "vxlan(gbp(id=5,flags=0x8))",
                        "vxlan(gbp(id=5/0xff))",
                        "geneve({class=0x100,type=0x0,len=4,0x5})",
                        "geneve({class=0x100,type=0,len=4,0x5/0xff})",
                        "geneve({class=0x100,type=0x0,len=4,0x5}{class=0x101,type=1,len=0})",
                        "geneve({len=3,0x5})",
                        "erspan(ver=1,idx=0x7)",
                        "erspan(ver=2,dir=1,hwid=0x7)",
                        "gtpu(flags=0x30,msgtype=255)",
                        "gtpu(flags=0x30/0xf)",
                        "oam",
                    ]
                ),
            )
        return f"tunnel({','.join(word for word in words if word)})"

    # Keys.

    def packet_key(self) -> str:
        """A packet that doesn't come back: recirculation's ids are each switch's own."""
        return self.key(masks=False, recirculated=False)

    def key(self, masks: bool = True, recirculated: bool = True) -> str:
        """A flow's key, with masks: then of one tag at most. The real switch's datapath without bridges tells
        no more, ours two."""
        rng = self.rng
        words: list[str] = []
        if rng.random() < 0.15:
            words.append(f"recirc_id({self.number(2) if recirculated else '0'})")
        words += [self.attr(name, masks) for name in METADATA if rng.random() < 0.05]
        if rng.random() < 0.06:
            words.insert(rng.randrange(len(words) + 1), self.tunnel(masks))
        if rng.random() < 0.9:
            port = rng.choice(["1", "2", "3", "p1", "p2", "0", "100"])
            words.append(
                f"in_port({port})"
                if rng.random() < 0.97
                else f"in_port({rng.choice(['x', '', '1/0', '4294967295'])})"
            )
        if rng.random() < 0.92:
            if rng.random() < 0.08:
                words.append(
                    rng.choice(["packet_type(ns=0,id=0)", "packet_type(ns=1,id=0x800)", "packet_type()"])
                )
            words.append("eth()" if rng.random() < 0.6 else self.attr("eth", masks))
        behind = self.behind(masks)
        for _ in range(rng.choice([0, 0, 0, 0, 0, 1, 1, 2, 3] if not masks else [0, 0, 0, 1])):
            tag = (
                self.attr("vlan", masks)
                if rng.random() < 0.9
                else rng.choice(["vlan()", "vlan()", "vlan(tci=5)"])
            )
            behind = [
                f"eth_type({rng.choice(['0x8100', '0x8100', '0x88a8', '0x9100'])})",
                tag,
                f"encap({','.join(behind)})",
            ]
        words += behind
        if rng.random() < 0.06:
            words.insert(
                rng.randrange(len(words) + 1),
                self.attr(
                    rng.choice(
                        [
                            "ipv4",
                            "tcp",
                            "udp",
                            "arp",
                            "mpls",
                            "vlan",
                            "ct_tuple4",
                            "ct_tuple6",
                            "tcp_flags",
                            "nd",
                            "icmp",
                            "encap",
                            "eth",
                            "nosuch",
                            "eth_type",
                            "ipv6",
                            "in_port",
                        ]
                    ),
                    masks,
                ),
            )
        if rng.random() < 0.04:
            del words[rng.randrange(len(words))]
        if rng.random() < 0.03:
            rng.shuffle(words)
        return self.spoilt(",".join(words), 0.04)

    def behind(self, masks: bool) -> list[str]:
        """The Ethernet type and what follows from it."""
        rng = self.rng
        kind, eth_type, proto = rng.choice(KINDS)
        if rng.random() < 0.03:
            eth_type = rng.choice([0x800, 0x86DD, 0x8847, 5])
        words = [f"eth_type({eth_type:#06x})"]
        if masks and rng.random() < 0.03:
            words = [f"eth_type({eth_type:#06x}/{rng.choice(['0', '0xffff', '0xff00'])})"]
        for name in kind.split():
            if name in ("ipv4", "ipv6"):
                words.append(f"{name}({self.ip(name, proto, masks)})")
            elif rng.random() < 0.93:
                words.append(self.attr(name, masks))
        return words

    def ip(self, name: str, proto: int, masks: bool) -> str:
        """The fields of an IP header; with its protocol, as a rule."""
        rng = self.rng
        kind = "ip" if name == "ipv4" else "ip6"
        first = self.fields({"src": (kind, 0), "dst": (kind, 0)}, masks)
        if name == "ipv6" and rng.random() < 0.2:
            first += f",label={self.value('hex', 20, masks and rng.random() < 0.4)}"
        last = self.fields(
            {
                "tclass" if name == "ipv6" else "tos": ("hex", 8),
                "hlimit" if name == "ipv6" else "ttl": ("dec", 8),
                "frag": ("frag", 0),
            },
            masks,
        )
        said = f"proto={proto}" if rng.random() < 0.9 else f"proto={self.value('dec', 8, masks)}"
        words = [first.lstrip(","), said if rng.random() < 0.92 else "", last]
        return ",".join(word for word in words if word)

    # Actions.

    def actions(self, depth: int = 0) -> str:
        """A list of actions."""
        rng = self.rng
        if rng.random() < 0.05 and not depth:
            return rng.choice(["drop", "", "drop,1", "1,drop", "1 2", "1,,2", ","])
        n = rng.choice([1, 1, 1, 2, 2, 3, 4]) if not depth else rng.choice([0, 1, 1, 2])
        text = ",".join(self.action(depth) for _ in range(n))
        return text if depth else self.spoilt(text, 0.04)

    def action(self, depth: int) -> str:
        """One action."""
        rng = self.rng
        mask = rng.random() < 0.4
        settable = (
            "eth",
            "tcp",
            "udp",
            "sctp",
            "icmp",
            "icmpv6",
            "arp",
            "nd",
            "nd_ext",
            "mpls",
            "skb_priority",
            "skb_mark",
            "ct_mark",
            "ct_label",
            "tunnel",
            "vlan",
            "tcp_flags",
            "ct_state",
            "recirc_id",
            "packet_type",
            "ct_tuple4",
            "dp_hash",
            "ct_zone",
        )
        name = rng.choice(settable)
        ip = rng.choice(["ipv4", "ipv6"])
        pool = [
            *["1", "2", "3", "100"] * 3,
            rng.choice(["0", "x", "4294967295", "-1", "1/2"]),
            *[f"set({self.attr(name, mask)})"] * 3,
            f"set({ip}({self.ip(ip, 6, mask)}))",
            "set()",
            f"set(eth_type({self.number(16)}))",
            "pop_vlan",
            "pop_vlan()",
            "pop_nsh",
            "pop_nsh()",
            "pop_eth",
            "ct_clear",
            f"push_vlan({self.fields({'vid': ('dec', 12), 'pcp': ('dec', 3)}, False)})",
            "push_vlan(tpid=0x88a8,vid=5,pcp=0)",
            "push_vlan(vid=5,pcp=0,cfi=1)",
            "push_vlan(tpid=0x8100,vid=4095,pcp=7)",
            f"push_mpls(label={self.number(20)},tc={self.number(3)},ttl={self.number(8)},bos={self.number(1)},eth_type=0x8847)",
            f"push_mpls({self.fields(MPLS, False)})",
            f"pop_mpls(eth_type={self.number(16, True)})",
            "pop_mpls(eth_type=0x800)",
            "add_mpls(label=5,tc=0,ttl=64,bos=1,eth_type=0x8847)",
            f"push_eth({self.fields({'src': ('mac', 0), 'dst': ('mac', 0)}, False)})",
            f"push_eth({self.fields({'src': ('mac', 0), 'dst': ('mac', 0), 'type': ('hex', 16)}, False)})",
            "push_nsh(flags=0,ttl=63,mdtype=1,np=3,spi=0x5,si=255,c1=0x1,c2=0x2,c3=0x3,c4=0x4)",
            "push_nsh(mdtype=3)",
            "push_nsh(c1=0x5,mdtype=x)",
            f"push_nsh({self.fields(NSH, False)})",
            f"recirc({self.number(32, True)})",
            f"hash({rng.choice(['l4(0)', 'hash_l4(0)', 'sym_l4(5)', 'l4', 'x(0)', 'hash_l4(x)', ''])})",
            f"trunc({14 + rng.getrandbits(16)})",
            "trunc(14)",
            f"meter({self.number(32)})",
            f"lb_output({self.number(32)})",
            self.ct(),
            self.ct(),
            self.ct(),
            self.userspace(),
            self.userspace(),
            f"tnl_pop({rng.choice(['1', 'p1', 'x', '7'])})",
            self.tnl_push(),
        ]
        if depth < 2:
            inner = self.actions(depth + 1)
            pool += [
                f"sample(sample={rng.choice(SHARES)},actions({inner}))",
                f"sample({rng.choice(SAMPLES)})",
                f"clone({inner})",
                f"clone({inner})",
                f"dec_ttl(le_1({inner}))",
                "dec_ttl()",
                "dec_ttl",
                f"check_pkt_len(size={self.number(16)},gt({inner}),le({self.actions(2)}))",
                "check_pkt_len(size=100)",
                f"check_pkt_len(size=100,gt({inner}),le(drop))",
            ]
        return rng.choice(pool)

    def ct(self) -> str:
        rng = self.rng
        nats = [
            "nat",
            "nat(src)",
            "nat(dst)",
            "nat(src=1.1.1.1)",
            "nat(dst=1.1.1.1-1.1.1.9:80-90,random)",
            "nat()",
            "nat(src=fe80::1)",
            "nat(src=[fe80::1]:80)",
            "nat(src=[fe80::1]-[fe80::9]:5-6,hash)",
            "nat(src=:80)",
            "nat(src=1.1.1.1,persistent)",
            "nat(hash)",
            "nat(src=)",
            "nat(x)",
            "nat(src=1.1.1.1:80)",
            "nat(src,dst)",
            "nat(src=1.1.1.9-1.1.1.1)",
            "nat(dst=1.1.1.1:90-80)",
        ]
        pool = [
            "commit",
            "force_commit",
            f"zone={self.number(16)}",
            f"mark={self.value('hex', 32, True)}",
            f"mark={self.number(32)}",
            f"label={self.value('hex', 64, rng.random() < 0.6)}",
            "helper=ftp",
            "helper=",
            "timeout=x",
            "timeout=",
            rng.choice(nats),
            rng.choice(nats),
            "x",
            "commit=1",
        ]
        chosen = rng.sample(pool, rng.choice([0, 1, 1, 2, 3]))
        return f"ct({','.join(chosen)})" if chosen or rng.random() < 0.5 else "ct"

    def userspace(self) -> str:
        rng = self.rng
        inner = rng.choice(
            [
                "",
                "sFlow(vid=5,pcp=3,output=7)",
                "sFlow(vid=5)",
                "slow_path(controller)",
                "slow_path(cfm|bfd)",
                "slow_path()",
                "slow_path(x)",
                "slow_path",
                "flow_sample(probability=5,collector_set_id=1,obs_domain_id=2,obs_point_id=3,output_port=4)",
                "flow_sample(probability=5,collector_set_id=1,obs_domain_id=2,obs_point_id=3,output_port=4,ingress)",
                "flow_sample()",
                "ipfix(output_port=5)",
                "ipfix()",
                "userdata(0102)",
                "userdata(01020)",
                "userdata()",
                "userdata(x)",
                "controller(reason=1,dont_send=0,continuation=0,recirc_id=5,rule_cookie=0x5,controller_id=0,max_len=65535)",
                "controller(reason=1)",
                "userdata(0102),actions",
                "actions",
                "tunnel_out_port=5",
                "userdata(0102),tunnel_out_port=2",
                "sFlow(vid=5,pcp=3,output=7),actions",
                "x",
            ]
        )
        pid = rng.choice(["pid=0", "pid=5", "pid=4294967295", "pid=x", "pid=0", ""])
        return f"userspace({','.join(word for word in (pid, inner) if word)})"

    def tnl_push(self) -> str:
        header = self.rng.choice(
            [
                "header(size=50,type=4,eth(dst=f8:bc:12:44:34:b6,src=f8:bc:12:46:58:e0,dl_type=0x0800),ipv4(src=1.1.2.88,"
                "dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,"
                "vni=0x1c7))",
                "header(size=38,type=3,eth(dst=f8:bc:12:44:34:b6,src=f8:bc:12:46:58:e0,dl_type=0x0800),ipv4(src=1.1.2.88,"
                "dst=1.1.2.92,proto=47,tos=0,ttl=64,frag=0x4000),gre((flags=0x0,proto=0x6558)))",
                "header(size=58,type=5,eth(dst=f8:bc:12:44:34:b6,src=f8:bc:12:46:58:e0,dl_type=0x0800),ipv4(src=1.1.2.88,"
                "dst=1.1.2.92,proto=17,tos=0,ttl=64,frag=0x4000),udp(src=0,dst=6081,csum=0x0),geneve(oam,vni=0x1c7,"
                "options({class=0x100,type=0x1,len=4,0x5})))",
                "header(size=50)",
                "header()",
            ]
        )
        return f"tnl_push(tnl_port(2),{header},out_port(1))"

    def spoilt(self, text: str, probability: float) -> str:
        """`text`, with a character changed, added or gone now and then."""
        rng = self.rng
        if rng.random() >= probability or not text:
            return text
        at = rng.randrange(len(text))
        return rng.choice(
            [text[:at] + text[at + 1 :], text[:at] + rng.choice(SPOILERS) + text[at:], text[:at]]
        )
