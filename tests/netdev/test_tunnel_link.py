"""What is asked of the kernel's tunnel devices, as bytes; the devices themselves are in tests/uml."""

from __future__ import annotations

import errno
import random

import pytest

from vswitch.netdev.tunnel_link import compose, fits, link_for
from vswitch.netdev.tunnel_options import parse_tunnel
from vswitch.netlink.errors import NlError

KINDS = {
    "vxlan": ("vxlan", {}),
    "vxlan gbp": ("vxlan", {"exts": "gbp"}),
    "vxlan gpe": ("vxlan", {"exts": "gpe", "packet_type": "ptap"}),
    "vxlan elsewhere": ("vxlan", {"dst_port": "8472"}),
    "geneve": ("geneve", {}),
    "geneve L3": ("geneve", {"packet_type": "legacy_l3"}),
    "gre": ("gre", {}),
    "gre L3": ("gre", {"packet_type": "legacy_l3"}),
    "ip6gre": ("ip6gre", {}),
    "erspan": ("erspan", {}),
    "ip6erspan": ("ip6erspan", {}),
    "bareudp ip": ("bareudp", {"payload_type": "ip"}),
    "bareudp mpls": ("bareudp", {"payload_type": "mpls", "dst_port": "7000"}),
    "bareudp nsh": ("bareudp", {"payload_type": "0x894f"}),
}
LINKS = {
    name: link_for(kind, parse_tunnel("t", kind, {"remote_ip": "10.0.0.1", **options}).device_options())
    for name, (kind, options) in KINDS.items()
}


@pytest.mark.parametrize("name", LINKS)
def test_a_device_is_told_from_all_others(name: str) -> None:
    reply = compose("t_sys", LINKS[name])
    same = [other for other, link in LINKS.items() if fits(reply, link)]
    # A device with group policy serves tunnels without it as well.
    assert same == (["vxlan", "vxlan gbp"] if name == "vxlan gbp" else [name])


def test_a_bareudp_device_in_bytes() -> None:
    """Flags up; name, MTU, and kind bareudp with UDP port 7000, Ethernet type 0x8847, multiproto."""
    wanted = (
        "00000000 00000000 01000000 01000000"
        "0c000300 62617265 75647000"
        "08000400 e8fd0000"
        "28001200 0c000100 62617265 75647000"
        "18000200 06000100 1b580000 06000200 88470000 04000400"
    )
    assert compose("bareudp", LINKS["bareudp mpls"]) == bytes.fromhex(wanted)


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("gtpu", {}, "no tunnels of type gtpu"),
        ("vxlan", {"packet_type": "ptap"}, "without exts=gpe"),
        ("geneve", {"packet_type": "ptap"}, "or packets only"),
        ("ip6gre", {"packet_type": "legacy_l3"}, "frames only"),
    ],
)
def test_what_the_kernel_has_not(kind: str, options: dict[str, str], why: str) -> None:
    asked = parse_tunnel("t", kind, {"remote_ip": "10.0.0.1", **options}).device_options()
    with pytest.raises(NlError, match=why) as error:
        link_for(kind, asked)
    assert error.value.errno == errno.EOPNOTSUPP


def test_mutated_answers_are_other_devices_or_none() -> None:
    chance = random.Random(3)
    for link in LINKS.values():
        reply = compose("t_sys", link)
        for _ in range(500):
            changed = bytearray(reply)
            changed[chance.randrange(16, len(reply))] ^= 1 << chance.randrange(8)
            assert fits(bytes(changed[: chance.randrange(16, len(reply) + 1)]), link) in (True, False)
