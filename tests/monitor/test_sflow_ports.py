"""sFlow of ports of a special kind: what LACP counts, and the outer headers of tunnels."""

from __future__ import annotations

import struct

import pytest

from tests.monitor.exporting import collect, listening, send, set_up
from tests.monitor.test_sflow import configuration, decode
from tests.oracle.real import RealSwitch

pytestmark = pytest.mark.system

BOND = (
    "del-port e1 -- del-port e2 -- add-bond sw b e1 e2 lacp=active"
    " -- set port b other_config:lacp-system-id=02:00:00:00:00:bb"
    " -- set interface e1 type=dummy options:ifindex=1001 -- set interface e2 type=dummy options:ifindex=1002"
)
LACPDU = (
    "0180c2000002" "0200000000aa" "8809" "0101"
    "0114" "1234" "0200000000aa" "0007" "00ff" "0003" "3d" "000000"
    "0214" "ffff" "0200000000bb" "0001" "00ff" "0001" "05" "000000"
    "0310" "0000" + "00" * 12 + "0000" + "00" * 50
)  # fmt: skip
"""From partner 02:00:00:00:00:aa, in sync, collecting and distributing (IEEE 802.1AX-2008 section 5.4.2)."""


def test_what_lacp_says_of_a_port_is_what_the_real_switch_says(switch: RealSwitch) -> None:
    with listening() as (collector, target):
        set_up(switch, configuration(target, 1), ["actions=normal"])
        switch.run("ovs-vsctl", *BOND.split())
        send(switch, [("e1", LACPDU)] * 3)
        latest: dict[int, bytes] = {}

        def complete(datagrams: list[bytes]) -> bool:
            for datagram in datagrams:
                for _, numbers, records in decode(datagram)[1]:
                    latest[numbers[1]] = records.get(7, b"")
            return len(datagrams) > 4 and bool(latest.get(1001)) and bool(latest.get(1002))

        collect(switch, collector, complete)
    seen = {}
    for ifindex in (1001, 1002):
        record = latest[ifindex]
        ours, partner = record[:6].hex(), record[8:14].hex()
        states = record[20:24].hex()
        rx, _, _, _, illegal, tx, _, _ = struct.unpack("!8I", record[24:])
        assert tx > 0
        seen[ifindex] = (ours, partner, states, rx, illegal)
    # Configured and in operation: active, aggregating; the second port has heard of nobody.
    assert seen == {
        1001: ("0200000000bb", "0200000000aa", "053d003d", 3, 0),
        1002: ("0200000000bb", "000000000000", "05450000", 0, 0),
    }  # fmt: skip
    assert latest[1003] == b""


def ip(proto: int, payload: bytes) -> bytes:
    """From 1.1.2.92 to 1.1.2.88."""
    header = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, proto, 0, 0x0101025C,
                         0x01010258)  # fmt: skip
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:] + payload


INNER = bytes.fromhex("50000000000750000000000508004500001c00000000401100000a0000010a0000020001000200080000")
UNDERLAY = (
    "add-br un -- set bridge un datapath_type=dummy other_config:hwaddr=02:00:00:00:00:88"
    " -- add-port un u1 -- set interface u1 type=dummy"
)
TUNNELS = " -- ".join(
    f"add-port sw t{n} -- set interface t{n} type={kind} ofport_request={n} options:remote_ip=1.1.2.92 {more}"
    for n, kind, more in (
        (9, "vxlan", "options:key=123"), (8, "gre", "options:key=7"),
        (7, "geneve", "options:key=5 options:tos=4"),
    )
)  # fmt: skip
FLOWS = ["in_port=1,actions=output:9", "in_port=2,actions=output:8", "in_port=3,actions=output:7",
         "priority=9,actions=output:1"]  # fmt: skip
OUT, IN = 1023, 1024


@pytest.mark.parametrize("switch", ["ours"], indirect=True)
def test_samples_have_the_outer_headers_of_tunnels(switch: RealSwitch) -> None:
    vxlan = bytes.fromhex("0800000000007b00") + INNER
    udp = struct.pack("!HHHH", 50000, 4789, 8 + len(vxlan), 0) + vxlan
    gre = bytes.fromhex("2000655800000007") + INNER
    outer = bytes.fromhex("0200000000880200000000920800")
    ports = " -- ".join(
        f"add-port sw e{n} -- set interface e{n} type=dummy ofport_request={n} options:ifindex={1000 + n}"
        for n in (1, 2, 3)
    )  # fmt: skip
    with listening() as (collector, target):
        switch.run("ovs-vsctl", *UNDERLAY.split())
        switch.run("ovs-vsctl", *["add-br", "sw", "--", "set", "bridge", "sw", "datapath_type=dummy", "--"],
                   *f"{ports} -- {TUNNELS}".split())  # fmt: skip
        for command in ("netdev-dummy/ip4addr un 1.1.2.88/24", "ovs/route/add 1.1.2.92/24 un",
                        "tnl/arp/set un 1.1.2.92 02:00:00:00:00:92"):  # fmt: skip
            switch.appctl(*command.split())
        switch.appctl("time/stop")
        switch.run("ovs-vsctl", "--", *configuration(target, 0, 128))
        switch.set_flows("sw", FLOWS, "OpenFlow10")
        send(switch, [(f"e{n}", INNER.hex()) for n in (1, 2, 3)])
        send(switch, [("u1", (outer + ip(proto, data)).hex()) for proto, data in ((17, udp), (47, gre))])

        def samples(datagrams: list[bytes]) -> list[dict[int, bytes]]:
            return [records for datagram in datagrams for _, _, records in decode(datagram)[1]]

        found = samples(collect(switch, collector, lambda datagrams: len(samples(datagrams)) >= 5))
    told = []
    for records in found:
        (kind,) = records.keys() & {OUT, IN}
        _, proto, src, dst, src_port, dst_port, _, tos = struct.unpack("!8I", records[kind])
        (vni,) = struct.unpack("!I", records[kind + 6])
        told.append((kind, proto, src & 0xFF, dst & 0xFF, src_port, dst_port, tos, vni))
        assert records[1][16:] == INNER + bytes(2), "the inner packet"
    assert told == [
        (OUT, 17, 88, 92, 0, 4789, 0, 123), (OUT, 47, 88, 92, 0, 0, 0, 7), (OUT, 17, 88, 92, 0, 6081, 4, 5),
        (IN, 17, 92, 88, 50000, 4789, 0, 123), (IN, 47, 92, 88, 0, 0, 0, 7),
    ]  # fmt: skip
