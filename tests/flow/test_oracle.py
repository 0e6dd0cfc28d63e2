"""The real `ovs-ofctl parse-flows` and ours, given the same random matches, print the same."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from vswitch.flow.fields import by_name
from vswitch.flow.match_text import parse_match
from vswitch.flow.values import format_value

ANYWHERE = [
    "in_port", "reg0", "reg7", "reg15", "xreg2", "xxreg3", "metadata", "tun_id", "tun_src", "tun_dst",
    "tun_ipv6_src", "tun_flags", "tun_gbp_id", "pkt_mark", "ct_state", "ct_zone", "ct_mark", "ct_label",
    "conj_id", "actset_output", "eth_src", "eth_dst", "vlan_tci", "dl_vlan", "dl_vlan_pcp",
]  # fmt: skip
IP = ["nw_tos", "nw_ecn", "nw_ttl", "ip_frag"]
FIELDS_OF = {
    "": [],
    "ip": ["ip_src", "ip_dst", "nw_proto", *IP],
    "tcp": ["ip_src", "ip_dst", "tcp_src", "tcp_dst", "tcp_flags", *IP],
    "udp": ["ip_src", "ip_dst", "udp_src", "udp_dst", *IP],
    "icmp": ["ip_src", "icmp_type", "icmp_code", *IP],
    "sctp6": ["ipv6_src", "sctp_src", *IP],
    "ipv6": ["ipv6_src", "ipv6_dst", "ipv6_label", *IP],
    "tcp6": ["ipv6_src", "ipv6_dst", "tcp_src", "tcp_dst", "tcp_flags", *IP],
    "icmp6": ["ipv6_src", "ipv6_label", *IP],
    "icmp6,icmpv6_type=135,icmpv6_code=0": ["nd_target", "nd_sll", "nd_reserved", *IP],
    "icmp6,icmpv6_type=136,icmpv6_code=0": ["nd_target", "nd_tll", "nd_options_type", *IP],
    "arp": ["arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"],
    "rarp": ["arp_op", "arp_spa"],
    "mpls": ["mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl"],
    "dl_type=0x894f": ["nsh_flags", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si"],
    "dl_type=0x1234": [],
}
PORTS = {"in_port": (1, 0xFEFF), "actset_output": (1, 0xFEFF)}


def random_value(rng: random.Random, name: str) -> str:
    """A value for field `name`, masked now and then if that is allowed."""
    field = by_name(name)
    if name in PORTS:
        return str(rng.randint(*PORTS[name]))
    if field.fmt.value == "frag":
        return rng.choice(["no", "yes", "first", "later", "not_later"])
    bits = min(field.n_bits, field.n_stored)
    value = rng.getrandbits(bits) if rng.random() < 0.8 else rng.choice([0, (1 << bits) - 1])
    full = field.ones if field.n_stored == bits else (1 << bits) - 1
    kind = rng.random()
    if not field.maskable or kind < 0.5:
        return format_value(field, value & full)
    if kind < 0.8 and bits in (32, 128) and "ip" in name:
        length = rng.randrange(1, bits)
        mask = full ^ ((1 << bits - length) - 1)
    else:
        mask = rng.getrandbits(bits) or full
        if field.fmt.value == "IPv6":
            mask |= 0xFFFF << 112  # a mask that begins with a digit is taken for a prefix length
    return format_value(field, value & mask, mask)


def random_match(rng: random.Random) -> str:
    """Flow text with a protocol and a few fields in any order that its prerequisites allow."""
    protocol = rng.choice(list(FIELDS_OF))
    names = rng.sample(ANYWHERE, rng.randrange(3))
    names += rng.sample(FIELDS_OF[protocol], rng.randrange(min(4, len(FIELDS_OF[protocol]) + 1)))
    if "dl_vlan" in names or "dl_vlan_pcp" in names:
        names = [name for name in names if name != "vlan_tci"]
    words = [f"{name}={random_value(rng, name)}" for name in names]
    return ",".join([protocol, *words] if protocol else words)


def test_random_matches_print_as_ovs_ofctl_prints_them(
    require: Callable[..., None], tmp_path: Path
) -> None:
    require("command:ovs-ofctl")
    rng = random.Random(20265)
    texts = [random_match(rng) for _ in range(1500)]
    flows = tmp_path / "flows"
    flows.write_text("".join(f"{text}{',' if text else ''}actions=drop\n" for text in texts))
    command = ["ovs-ofctl", "parse-flows", str(flows)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = re.findall(r"^(?:OFPT|NXT)_FLOW_MOD.*?: (?:ADD ?)?(.*)$", ran.stdout, re.MULTILINE)
    assert len(printed) == len(texts), ran.stderr
    differ = []
    for text, theirs in zip(texts, printed, strict=True):
        ours = f"{parse_match(text)} actions=drop".lstrip()
        if theirs != ours and "decode error" not in theirs:
            differ.append((text, theirs, ours))
    assert not differ, f"{len(differ)} differ: {differ[:5]}"
    assert sum("decode error" in theirs for theirs in printed) < len(texts) // 20
