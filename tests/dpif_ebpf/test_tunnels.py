"""What of tunnels the eBPF datapath's kernel part takes: keys of packets out of them, actions into them."""

from __future__ import annotations

import struct

import pytest

from tests.dpif.lab import key_of, udp
from vswitch.dpif.actions import Action, DecTtl, Output, PushMpls, Recirc, Set, Userspace
from vswitch.dpif.ebpf.code import SET_TUNNEL_KEY, Code, Op, compile_list
from vswitch.dpif.ebpf.key import KEY_SIZE, TUNNEL_KEY_SIZE, Unfit, fit
from vswitch.dpif.ebpf.ring import TunnelKey
from vswitch.dpif.ebpf.tunnels import set_outer
from vswitch.dpif.odp_nested import tunnel_bytes
from vswitch.flow import key_attr as attr
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_match

PORT = 4789
VXLAN, DEVICE = 7, 2


def tunnel(text: str, flags: int = at.TUN_F_KEY | at.TUN_F_CSUM) -> Flow:
    """A flow with the tunnel fields of `text`, and flags and port as they come."""
    flow = parse_match(text).flow.copy()
    flow.words[at.W_TUN_FLAGS] |= flags << at.S_TUN_FLAGS | PORT
    return flow


def compiled(*actions: Action, came_by_tunnel: bool = False) -> bytes:
    def output(number: int) -> tuple[int, bool, int]:
        return number, False, PORT if number == VXLAN else 0

    key = key_of(udp(), 1)
    mask = Flow()
    mask.words[at.W_ETH_TYPE] |= 0xFFFF
    code = Code(key, mask, output, lambda _action, _limit: 1, lambda number: (number, False), came_by_tunnel)
    return compile_list(code, actions)


def into(text: str, flags: int = at.TUN_F_KEY | at.TUN_F_CSUM) -> Set:
    return Set(attr.TUNNEL, tunnel_bytes(tunnel(text, flags)))


def test_the_outer_header_of_a_record_becomes_the_flows_tunnel() -> None:
    flow = Flow()
    v4 = TunnelKey(42, bytes.fromhex("0100000a").ljust(16, b"\0"), 4, 63, 0, 0,
                   bytes.fromhex("0200000a").ljust(16, b"\0"), 4)  # fmt: skip
    set_outer(flow, v4, PORT)
    assert flow.words == tunnel("tun_id=42,tun_src=10.0.0.1,tun_dst=10.0.0.2,tun_tos=4,tun_ttl=63").words
    flow = Flow()
    one, other = (bytes.fromhex("fd") + bytes(14) + bytes((n,)) for n in (1, 2))
    set_outer(flow, TunnelKey(42, one, 0, 64, 0, 0, other, 6), PORT)
    assert flow.words == tunnel("tun_id=42,tun_ipv6_src=fd00::1,tun_ipv6_dst=fd00::2,tun_ttl=64").words


def test_the_key_has_the_tunnel_behind_the_rest() -> None:
    flow = tunnel("tun_id=42,tun_src=10.0.0.1,tun_dst=10.0.0.2,tun_tos=4,tun_ttl=63")
    mask = Flow()
    for word in (at.W_IN_PORT, at.W_TUN_ID, at.W_TUN_SRC):
        mask.words[word] = -1
    mask.words[at.W_TUN_FLAGS] = -1 << at.S_TUN_TTL | 0xFFFF
    mask.words[at.W_RECIRC_ID] |= 0xFFFFFFFF << at.S_RECIRC_ID
    key, ones = fit(flow, mask, 5, PORT)
    assert len(key) == len(ones) == TUNNEL_KEY_SIZE
    assert key[KEY_SIZE:] == struct.pack("=IIIBB2x", 42, 0x0A000001, 0x0A000002, 4, 63)
    assert ones[KEY_SIZE:] == b"\xff" * 14 + b"\0\0"
    with pytest.raises(Unfit, match="it matches on tunnel"):
        fit(flow, mask, 5)
    mask.words[at.W_TUN_FLAGS] |= 0xFFFF << at.S_TUN_TP_SRC
    with pytest.raises(Unfit, match="a tunnel's flags or source port"):
        fit(flow, mask, 5, PORT)
    mask.words[at.W_TUN_FLAGS] = at.TUN_F_OAM << at.S_TUN_FLAGS
    flow.words[at.W_TUN_FLAGS] |= at.TUN_F_OAM << at.S_TUN_FLAGS
    with pytest.raises(Unfit, match="a tunnel's flags or source port"):
        fit(flow, mask, 5, PORT)


def test_a_set_tunnel_is_the_helpers_structure() -> None:
    fields = "tun_id=42,tun_src=10.0.0.1,tun_dst=10.0.0.2,tun_tos=4,tun_ttl=63"
    code = compiled(into(fields, at.TUN_F_KEY | at.TUN_F_DF), Output(VXLAN))
    key = SET_TUNNEL_KEY.pack(42, 0x0A000002, 4, 63, 0x0A000001)
    zero_csum, dont_fragment = 2, 4
    assert code.startswith(struct.pack("=BBHI", Op.SET_TUNNEL, 0, 56, zero_csum | dont_fragment) + key)
    assert struct.unpack_from("=BBHI", code, 56) == (Op.OUTPUT_LAST, 0, 64, VXLAN)


V4 = "tun_id=42,tun_dst=10.0.0.2,tun_ttl=64"


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ((into("tun_id=42,tun_ipv6_dst=fd00::2,tun_ttl=64"), Output(VXLAN)), "a tunnel of IPv6"),
        ((into("tun_id=42,tun_dst=10.0.0.2,tun_gbp_id=5"), Output(VXLAN)), "one with options"),
        ((into("tun_id=0x2000000,tun_dst=10.0.0.2"), Output(VXLAN)), "what no VXLAN tunnel has"),
        ((Output(VXLAN), Output(DEVICE)), "doesn't say which"),
        ((into(V4), Userspace(1, b""), Output(VXLAN)), "sends up what goes into a tunnel"),
        ((into(V4), Recirc(1)), "recirculates what goes into a tunnel"),
    ],
)
def test_what_stays_in_userspace_says_why(actions: tuple[Action, ...], why: str) -> None:
    with pytest.raises(Unfit, match=why):
        compiled(*actions)


@pytest.mark.parametrize("action", [Userspace(1, b""), Recirc(1), DecTtl(()), PushMpls(0x40, 0x8847)])
def test_what_came_out_of_a_tunnel_is_nothing_to_be_sent_up(action: Action) -> None:
    assert compiled(Output(DEVICE), Output(DEVICE + 1), came_by_tunnel=True)
    with pytest.raises(Unfit, match="what came out of a tunnel"):
        compiled(action, Output(DEVICE), came_by_tunnel=True)
