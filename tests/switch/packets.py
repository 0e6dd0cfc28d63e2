"""Packets for the tests, and packets as short text."""

from __future__ import annotations

from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.text import format_flow
from vswitch.packet.parse import Parser

A = "00:00:00:00:00:0a"
B = "00:00:00:00:00:0b"
C = "00:00:00:00:00:0c"


def frame(src: str, dst: str, more: str = "dl_type=0x1234") -> str:
    """Flow text of a packet from one address to another."""
    return f"dl_src={src},dl_dst={dst},{more}"


def tagged(src: str, dst: str, vlan: int, pcp: int = 0) -> str:
    """The same with a VLAN tag."""
    return frame(src, dst, f"dl_vlan={vlan},dl_vlan_pcp={pcp},dl_type=0x1234")


def flow_of(packet: bytes) -> Flow:
    """What the switch sees in a packet."""
    flow = Flow()
    extract(packet, flow, Parser())
    return flow


def text_of(packet: bytes) -> str:
    """A packet as `ofproto/trace` prints its flow, without the input port."""
    return format_flow(flow_of(packet)).replace("in_port=0,", "")


def vlan_of(packet: bytes) -> int | None:
    """The packet's VLAN ID, None without a tag."""
    tci = flow_of(packet).vlan_tci
    return tci & 0xFFF if tci else None
