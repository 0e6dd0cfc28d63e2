"""The kernel's messages, good and bad: parsed, or refused as exactly one thing."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dpif.lab import ALL_UDP, key_of, mask_of, udp, ufid_of
from vswitch.dpif.actions import Output, Userspace
from vswitch.dpif.actions_nl import encode_actions
from vswitch.dpif.kernel import ct, ct_timeout, datapath, vport
from vswitch.dpif.kernel.flow import OVS_FLOW_CMD_NEW, compose_put, parse_flow, parse_stats
from vswitch.dpif.kernel.packet import UpcallParser, compose_execute
from vswitch.dpif.odp_key import encode_key
from vswitch.netlink.attrs import Builder, NlAttrError, attributes, parse

FAMILY, DP = 30, 7


def upcall(cmd: int = 1, family: int = FAMILY, dp: int = DP, extra: bytes = b"", port: int = 3) -> bytes:
    """A datagram as the kernel would send it up."""
    b = Builder()
    message = b.begin_message(family, 0, 0, 0)
    b.genl_header(cmd, 1)
    b.append_u32(dp)
    b.raw(2, encode_key(key_of(udp(), port)))
    b.append(extra)
    b.raw(1, udp())
    b.end_message(message)
    return b.getvalue()


def test_a_miss_is_a_packet_and_its_key() -> None:
    parser = UpcallParser(FAMILY, DP)
    found = parser.parse(upcall())
    assert found is not None
    assert (found.type.name, found.packet, found.userdata, found.actions) == ("MISS", udp(), b"", ())
    assert found.key == key_of(udp(), 3)
    assert found.raw_key == encode_key(key_of(udp(), 3))
    assert found.fitness.value == "perfect"


def test_an_action_upcall_has_userdata_and_actions() -> None:
    b = Builder()
    b.raw(4, b"cookie")
    b.raw(3, encode_actions((Output(1), Userspace(5))))
    b.u16(9, 1480)
    b.u64(11, 0x8000000100000002)
    found = UpcallParser(FAMILY, DP).parse(upcall(2, extra=b.getvalue()))
    assert found is not None
    assert (found.type.name, found.userdata) == ("ACTION", b"cookie")
    assert found.actions == (Output(1), Userspace(5))
    assert (found.mru, found.hash) == (1480, 0x8000000100000002)


def test_what_is_meant_for_another_is_no_upcall_and_no_mistake() -> None:
    parser = UpcallParser(FAMILY, DP)
    for data in (upcall(family=31), upcall(dp=8), upcall(cmd=3)):
        assert parser.parse(data) is None
        assert not parser.malformed


@pytest.mark.parametrize("cut", [0, 5, 23, 24, 30, 60, 90])
def test_a_message_cut_short_is_malformed(cut: int) -> None:
    parser = UpcallParser(FAMILY, DP)
    data = upcall()[:cut]
    assert parser.parse(data) is None
    assert parser.malformed
    honest = struct.pack("=I", len(data)) + data[4:]
    assert parser.parse(honest) is None
    assert parser.parse(upcall()) is not None
    assert not parser.malformed


@given(st.data())
def test_no_upcall_crashes_the_parser(data: st.DataObject) -> None:
    parser = UpcallParser(FAMILY, DP)
    whole = bytearray(upcall(2, extra=b"\x0a\0\4\0cookie\0\0"))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    parser.parse(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


def test_a_flow_put_reads_back_as_the_flow() -> None:
    b = Builder()
    key, mask = key_of(udp(), 3), mask_of(*ALL_UDP)
    compose_put(b, OVS_FLOW_CMD_NEW, DP, key.masked(mask), mask, (Output(9),), ufid_of(6), False, False)
    b.raw(3, struct.pack("=QQ", 11, 2200))
    b.u8(4, 0x12)
    b.u64(5, 1000)
    data = b.getvalue()
    flow = parse_flow(data, 0, len(data), 50)
    assert flow.key == key.masked(mask)
    assert (flow.actions, flow.ufid) == ((Output(9),), ufid_of(6))
    for stats in (flow.stats, parse_stats(data, 50)):
        assert (stats.n_packets, stats.n_bytes, stats.tcp_flags, stats.used) == (11, 2200, 0x12, 1050)


def test_a_flow_never_used_says_so() -> None:
    b = Builder()
    key, mask = key_of(udp(), 3), mask_of(*ALL_UDP)
    compose_put(b, OVS_FLOW_CMD_NEW, DP, key.masked(mask), mask, (), ufid_of(6), True, True)
    data = b.getvalue()
    assert parse_flow(data, 0, len(data), 50).stats.used == 0


def test_an_execute_carries_packet_key_and_actions() -> None:
    b = Builder()
    compose_execute(b, DP, udp(), key_of(udp(), 3), (Output(1),), 1480, 0x1_0000_0001, True)
    found = parse(b.getvalue(), 8)
    assert found[1] == udp()
    assert found[3] == encode_actions((Output(1),))
    assert (found[8], found[9], found[11]) == (b"", struct.pack("=H", 1480), struct.pack("=Q", 0x1_0000_0001))


def test_a_vport_message_is_read_whole() -> None:
    b = Builder()
    b.genl_header(vport.OVS_VPORT_CMD_NEW, 1)
    b.append_u32(DP)
    b.u32(1, 5)
    b.u32(2, 4)
    b.string(3, "vxlan_sys_4789")
    nest = b.begin(4)
    b.u16(1, 4789)
    b.end(nest)
    b.raw(5, struct.pack("=2I", 77, 78))
    b.raw(6, struct.pack("=8Q", *range(8)))
    nest = b.begin(10)
    b.u64(2, 123)
    b.end(nest)
    info = vport.parse_vport(b.getvalue())
    assert (info.cmd, info.dp_ifindex, info.port_no, info.type) == (1, DP, 5, "vxlan")
    assert (info.name, info.upcall_pids, info.dst_port) == ("vxlan_sys_4789", (77, 78), 4789)
    assert info.stats == {name: i for i, name in enumerate(vport.COUNTERS)}
    assert info.upcalls_failed == 123


def test_a_timeout_policy_is_a_message_for_each_protocol() -> None:
    messages = ct_timeout.compose_new(7, {"udp_first": 5, "udp_single": 6, "tcp_close": 8, "icmp_reply": 9})
    found = []
    for message in messages:
        attrs = parse(message, 4)
        times = {kind: int.from_bytes(value, "big") for kind, value in parse(attrs[4]).items()}
        found.append((attrs[1], int.from_bytes(attrs[2], "big"), attrs[3][0], times))
    assert found == [
        (b"ovs_tp_7_tcp4\0", 2, 6, {8: 8}),
        (b"ovs_tp_7_tcp6\0", 10, 6, {8: 8}),
        (b"ovs_tp_7_udp4\0", 2, 17, {1: 6}),
        (b"ovs_tp_7_udp6\0", 10, 17, {1: 6}),
        (b"ovs_tp_7_icmp4\0", 2, 1, {}),
        (b"ovs_tp_7_icmpv6\0", 10, 58, {}),
    ]


@given(st.lists(st.binary(max_size=60)))
def test_policies_of_others_are_not_ours(noise: list[bytes]) -> None:
    other = Builder()
    other.append(bytes(4))
    other.string(1, "somebody_s_2_tcp4")
    ours = ct_timeout.compose_new(3, {})
    assert ct_timeout.numbers_of([*noise, other.getvalue(), *ours]) == {3}


def test_a_connection_is_read_whole() -> None:
    b = Builder()
    b.append(b"\2\0\0\0")
    for attr, (src, dst) in ((1, ((10, 0, 0, 1), (10, 0, 0, 2))), (2, ((10, 0, 0, 2), (10, 0, 0, 1)))):
        nest = b.begin(attr)
        ip = b.begin(1)
        b.raw(1, bytes(src))
        b.raw(2, bytes(dst))
        b.end(ip)
        proto = b.begin(2)
        b.u8(1, 6)
        b.be16(2, 1000)
        b.be16(3, 80)
        b.end(proto)
        b.end(nest)
    info, tcp = b.begin(4), b.begin(1)
    b.u8(1, 3)
    b.end(tcp)
    b.end(info)
    b.be16(18, 9)
    b.be32(8, 0x55)
    b.be32(7, 60)
    entry = ct.parse_entry(b.getvalue())
    assert (entry.proto, entry.orig) == (6, ("10.0.0.1", "10.0.0.2", 1000, 80))
    assert (entry.zone, entry.mark, entry.timeout, entry.state) == (9, 0x55, 60, "ESTABLISHED")


@given(st.binary(max_size=200))
def test_no_reply_crashes_a_parser(data: bytes) -> None:
    for one in (datapath.parse_datapath, vport.parse_vport, ct.parse_entry):
        try:
            one(data)
        except NlAttrError:
            pass
    for two in (lambda: parse_flow(data, 0, len(data), 0), lambda: parse_stats(data, 0)):
        try:
            two()
        except NlAttrError:
            pass
    try:
        attributes(data, 8)
    except NlAttrError:
        pass
