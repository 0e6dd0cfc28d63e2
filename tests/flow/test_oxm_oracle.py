"""Every OXM and NXM header of the registry is one that the real `ovs-ofctl` reads as that field."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable

import pytest

from vswitch.flow.field import Field, OxmHeader, Prereq
from vswitch.flow.fields import FIELDS, by_name

PRINTED = {
    "eth_src": "dl_src", "eth_dst": "dl_dst", "eth_type": "dl_type", "ip_src": "nw_src", "ip_dst": "nw_dst",
    "in_port_oxm": "in_port", "ip_dscp": "nw_tos", "ip_frag": "nw_frag", "vlan_vid": "dl_vlan=1",
    "vlan_pcp": "dl_vlan_pcp", "tcp_src": "tp_src", "tcp_dst": "tp_dst", "udp_src": "tp_src",
    "udp_dst": "tp_dst", "sctp_src": "tp_src", "sctp_dst": "tp_dst", "icmpv6_type": "icmp_type",
    "icmpv6_code": "icmp_code", "tun_gtpu_flags": "gtpu_flags", "tun_gtpu_msgtype": "gtpu_msgtype",
    "packet_type": "packet_type", "nw_proto": "icmp",
}  # fmt: skip


def tlv(header: OxmHeader, value: bytes) -> bytes:
    body = (struct.pack(">I", header.experimenter) if header.experimenter else b"") + value
    return struct.pack(">HBB", header.class_, header.number << 1, len(body)) + body


def exact(name: str, value: int) -> bytes:
    field = by_name(name)
    return tlv(field.oxm[0], value.to_bytes(field.n_bytes, "big"))


IPV4, IPV6 = exact("eth_type", 0x0800), exact("eth_type", 0x86DD)
ICMPV6 = IPV6 + exact("nw_proto", 58)
BEFORE = {
    Prereq.NONE: b"", Prereq.ETHERNET: b"", Prereq.ARP: exact("eth_type", 0x0806),
    Prereq.VLAN_VID: exact("vlan_vid", 0x1001), Prereq.IPV4: IPV4, Prereq.IPV6: IPV6, Prereq.IP_ANY: IPV4,
    Prereq.NSH: exact("eth_type", 0x894F) + exact("nsh_mdtype", 1), Prereq.MPLS: exact("eth_type", 0x8847),
    Prereq.TCP: IPV4 + exact("nw_proto", 6), Prereq.UDP: IPV4 + exact("nw_proto", 17),
    Prereq.SCTP: IPV4 + exact("nw_proto", 132), Prereq.ICMPV4: IPV4 + exact("nw_proto", 1),
    Prereq.ICMPV6: ICMPV6,
    Prereq.ND: ICMPV6 + exact("icmpv6_type", 135) + exact("icmpv6_code", 0),
    Prereq.ND_SOLICIT: ICMPV6 + exact("icmpv6_type", 135) + exact("icmpv6_code", 0),
    Prereq.ND_ADVERT: ICMPV6 + exact("icmpv6_type", 136) + exact("icmpv6_code", 0),
}  # fmt: skip
ALSO = {
    "tun_erspan_idx": exact("tun_erspan_ver", 1), "tun_erspan_dir": exact("tun_erspan_ver", 2),
    "tun_erspan_hwid": exact("tun_erspan_ver", 2), "nsh_mdtype": exact("eth_type", 0x894F),
}  # fmt: skip


def flow_mod(field: Field, header: OxmHeader) -> bytes:
    """An OpenFlow 1.5 flow-mod whose match has `field`, named by `header`, after its prerequisites."""
    if field.prereq is Prereq.CT:
        ip = IPV6 if "ipv6" in field.name else IPV4
        before = ip + exact("ct_state", 0x22) + (exact("ct_nw_proto", 6) if "_tp_" in field.name else b"")
    else:
        before = ALSO.get(field.name, BEFORE[field.prereq])
    value = {"nw_tos": 4, "vlan_vid": 0x1001, "packet_type": 0x10800}.get(field.name, 1)
    size = 4 if field.name.startswith("tun_metadata") else field.n_bytes
    oxms = before + tlv(header, value.to_bytes(size, "big"))
    match = struct.pack(">HH", 1, len(oxms) + 4) + oxms
    match += bytes(-len(match) % 8)
    command = struct.pack(">QQBBHHHIIIHH", 0, 0, 0, 0, 0, 0, 32768, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    return struct.pack(">BBHI", 6, 14, 8 + len(command + match), 1) + command + match


@pytest.mark.parametrize("field", [f for f in FIELDS if f.oxm], ids=lambda field: field.name)
def test_the_real_tool_reads_each_header_as_its_field(require: Callable[..., None], field: Field) -> None:
    require("command:ovs-ofctl")
    for header in field.oxm:
        message = " ".join(f"{byte:02x}" for byte in flow_mod(field, header))
        ran = subprocess.run(
            ["ovs-ofctl", "ofp-print", "-"], input=message, capture_output=True, text=True, check=False
        )
        name = PRINTED.get(field.name, field.name)
        if field.name.startswith(("xreg", "xxreg")):
            name = f"reg{by_name(field.name).word * 2 - 66}"
        assert "error" not in ran.stdout, header
        assert name in ran.stdout, header
