"""Conversations written as text, a packet a line, and the packets that they mean.

    conversation a handshake          a new one, with its name
    table plain                       the flows: tables/plain.txt
    ipv6                              of the hosts' addresses, the IPv6 ones
    command dpctl/ct-set-limits zone=1,limit=2
    p1 tcp 1000>80 S seq=100          comes in by p1 from its host to the other one
    p2/3 udp 53>1000 len=5            with 3 in its Ethernet destination, which may choose a flow
    p2 answer SA seq=5 ack=101        the other way around than the last packet that came out there
    p2 error 3/1 out                  an ICMP error about that packet; `error 3/1 4`: about packet 4
    p1 ping id=1; p2 pong id=1; p1 raw 47 00000000
    p1 frags 1400 2,0,1 udp 1000>53 len=3000   fragments of up to 1400 bytes, in this order
    wait 1000                         ms

Options: seq ack win len wscale id src dst ttl, data (text with \\r and \\n, and ~ for a space), cut (bytes of
the quoted packet); the word "bad" is a wrong checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrFragment,
    fragment6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from tests.conntrack.packets import V4, V6, ethernet

_identifications = count(100)
"""No two packets of a session share one: what stays held belongs to nobody else."""
ERRORS6 = {1: ICMPv6DestUnreach, 2: ICMPv6PacketTooBig, 3: ICMPv6TimeExceeded, 4: ICMPv6ParamProblem}


@dataclass
class Conversation:
    """One conversation: `lines` are what happens, as words."""

    name: str
    table: str = "plain"
    six: bool = False
    lines: list[list[str]] = field(default_factory=list)


def read(path: Path) -> Iterator[Conversation]:
    """The conversations of a file."""
    now: Conversation | None = None
    for line in path.read_text().splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] == "conversation":
            if now is not None:
                yield now
            now = Conversation(" ".join(words[1:]))
            continue
        assert now is not None, "a file starts with a conversation"
        if words[0] == "table":
            now.table = words[1]
        elif words[0] == "ipv6":
            now.six = True
        else:
            now.lines.append(words)
    if now is not None:
        yield now


class Maker:
    """Makes the packets of one conversation; `out` is what came out last, by port."""

    def __init__(self, six: bool) -> None:
        self.six = six
        self.out: dict[int, bytes] = {}
        self.made: list[Packet] = []

    def packets(self, words: list[str]) -> list[tuple[int, bytes]]:
        """(port, frame) of a line's packets."""
        if words[1] != "frags":
            return [self.packet(words)]
        port, frame = self.packet([words[0], *words[4:]])
        made = Ether(frame)
        identification = next(_identifications)
        if self.six:
            ip = made.payload
            header = IPv6ExtHdrFragment(id=identification)
            pieces = fragment6(IPv6(src=ip.src, dst=ip.dst) / header / ip.payload, int(words[2]))
        else:
            made.payload.id = identification
            del made.payload.chksum
            pieces = fragment(made.payload, int(words[2]))
        head = Ether(src=made.src, dst=made.dst)
        return [(port, bytes(head / pieces[int(n)])) for n in words[3].split(",")]

    def packet(self, words: list[str]) -> tuple[int, bytes]:
        """(port, frame) of a line."""
        port, _, operation = words[0][1:].partition("/")
        options = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        plain = [word for word in words[1:] if "=" not in word]
        made = self.ip(int(port), plain, options)
        if "ttl" in options:
            setattr(made, "hlim" if self.six else "ttl", int(options["ttl"]))
        self.made.append(made)
        return int(port), bytes(ethernet(int(port), int(operation or 1)) / made)

    def ip(self, port: int, words: list[str], options: dict[str, str]) -> Packet:
        addresses = V6 if self.six else V4
        src, dst = addresses[port], addresses[3 - port if port < 3 else 1]
        kind, *words = words
        if kind == "answer":
            last = Ether(self.out[port]).payload
            src, dst = last.dst, last.src
            kind = {TCP: "tcp", UDP: "udp"}.get(type(last.payload), "pong")
            if kind != "pong":
                words = [f"{last.payload.dport}>{last.payload.sport}", *words]
            if kind == "pong" and "id" not in options:
                options["id"] = str(last.payload.id)
        src, dst = options.get("src", src), options.get("dst", dst)
        head = IPv6(src=src, dst=dst) if self.six else IP(src=src, dst=dst)
        payload = self.payload(kind, words, options, port)
        if "bad" in words:
            setattr(payload, "cksum" if hasattr(payload, "cksum") else "chksum", 0x1234)
        if kind == "raw":
            setattr(head, "nh" if self.six else "proto", int(words[0]))
        return head / payload

    def payload(self, kind: str, words: list[str], options: dict[str, str], port: int) -> Packet:
        data = options.get("data", "").encode().decode("unicode_escape").encode("latin-1")
        data = data.replace(b"~", b" ") or bytes(int(options.get("len", "0")))
        if kind in ("tcp", "udp"):
            sport, _, dport = words[0].partition(">")
            if kind == "udp":
                return UDP(sport=int(sport), dport=int(dport)) / Raw(data)
            flags = words[1] if len(words) > 1 and words[1] != "bad" else ""
            scale = [("WScale", int(options["wscale"]))] if "wscale" in options else []
            numbers = {name: int(options.get(name, "0")) for name in ("seq", "ack")}
            return TCP(sport=int(sport), dport=int(dport), flags="" if flags == "-" else flags,
                       window=int(options.get("win", "8192")), options=scale, **numbers) / Raw(data)
        identifier = int(options.get("id", "1"))
        if kind in ("ping", "pong"):
            if self.six:
                return (ICMPv6EchoRequest if kind == "ping" else ICMPv6EchoReply)(id=identifier, data=data)
            return ICMP(type=8 if kind == "ping" else 0, id=identifier) / Raw(data)
        if kind == "raw":
            return Raw(bytes.fromhex(words[1]))
        number, _, code = words[0].partition("/")
        if kind == "icmp":
            return ICMP(type=int(number), code=int(code or 0), id=identifier) / Raw(data)
        assert kind == "error", f"{kind}?"
        about = Ether(self.out[port]).payload if words[1] == "out" else self.made[int(words[1])]
        quoted = bytes(about)[: int(options.get("cut", "500"))]
        if self.six:
            return ERRORS6[int(number)](code=int(code or 0)) / Raw(quoted)
        return ICMP(type=int(number), code=int(code or 0)) / Raw(quoted)
