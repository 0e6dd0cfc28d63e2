"""Packets of conversations, written and random, with scapy (an independent packet maker)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6TimeExceeded, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

MACS = {1: "02:00:00:00:00:01", 2: "02:00:00:00:00:02", 3: "02:00:00:00:00:03"}
V4 = {1: "10.0.0.1", 2: "10.0.0.2", 3: "10.0.0.3"}
V6 = {1: "fd00::1", 2: "fd00::2", 3: "fd00::3"}
FLAGS = ("S", "S", "SA", "A", "A", "A", "A", "PA", "FA", "FA", "F", "R", "RA", "", "SF", "SR", "FPU", "SPA")


def ethernet(port: int, operation: int = 1) -> Packet:
    """The Ethernet header of a packet that comes in by `port`; `operation` picks a flow of the table."""
    return Ether(src=MACS[port], dst=f"02:00:00:00:01:{operation:02x}")


def ip(source: int, to: int, six: bool = False) -> Packet:
    """An IP header between two of the hosts."""
    return IPv6(src=V6[source], dst=V6[to]) if six else IP(src=V4[source], dst=V4[to])


@dataclass
class Side:
    """One end of a TCP conversation as the random walk sees it."""

    seq: int
    scale: int | None
    acked: int = 0


@dataclass
class Walk:
    """A random sequence of packets over a few conversations, most of them as real ends would send."""

    seed: int
    operations: tuple[int, ...] = (1, 2, 3, 4, 5)
    six: bool = False
    nat: bool = False
    """Answers come from and go to the translated addresses (.8 and .9), too."""
    roll: random.Random = field(init=False)
    sides: dict[tuple[int, int], tuple[Side, Side]] = field(default_factory=dict)
    sent: list[tuple[int, Packet]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.roll = random.Random(self.seed)

    def packet(self) -> tuple[int, bytes]:
        """The next packet: (port, bytes)."""
        roll = self.roll
        port = roll.choice((1, 1, 2))
        kind = roll.choice(("tcp", "tcp", "tcp", "tcp", "udp", "icmp", "error", "other", "again"))
        if kind == "again" and self.sent:
            port, made = roll.choice(self.sent)
        else:
            made = self.header(port) / self.payload(kind, port)
            self.sent.append((port, made))
        frame = ethernet(port, roll.choice(self.operations)) / made
        return port, bytes(frame)

    def header(self, port: int) -> Packet:
        made = ip(port, 3 - port, self.six)
        if self.nat:
            net = "fd00::" if self.six else "10.0.0."
            if port == 1:
                made.src, made.dst = net + self.roll.choice("113"), net + self.roll.choice("222345")
            else:
                made.src, made.dst = net + self.roll.choice("228"), net + self.roll.choice("1999")
        return made

    def payload(self, kind: str, port: int) -> Packet:
        roll = self.roll
        if kind == "tcp":
            return self.tcp(port)
        if kind == "udp":
            ports = (roll.choice((1000, 1001)), 53)
            sport, dport = ports if port == 1 else ports[::-1]
            made = UDP(sport=sport, dport=dport) / Raw(bytes(roll.randrange(20)))
            if roll.random() < 0.1:
                made.chksum = roll.choice((0, 0x1234))
            return made
        if kind == "icmp":
            return self.echo(port)
        if kind == "error":
            return self.error(port)
        return Raw(bytes(12))

    def echo(self, port: int) -> Packet:
        identifier = self.roll.choice((1, 2))
        if self.six:
            return ICMPv6EchoRequest(id=identifier) if port == 1 else ICMPv6EchoReply(id=identifier)
        kind = self.roll.choice((8, 8, 13, 15, 17) if port == 1 else (0, 0, 14, 16, 18))
        return ICMP(type=kind, code=0 if self.roll.random() < 0.9 else 1, id=identifier)

    def error(self, port: int) -> Packet:
        """About a packet that the other side sent, whole or cut off."""
        others = [packet for n, packet in self.sent if n != port] or [ip(3 - port, port, self.six) / UDP()]
        if self.nat and self.six:
            # The real switch spoils the checksum of TCP quoted by a translated ICMPv6 error.
            others = [packet for packet in others if TCP not in packet] or [self.header(3 - port) / UDP()]
        quoted = bytes(self.roll.choice(others))[:1000]
        if self.roll.random() < 0.5:
            quoted = quoted[: self.roll.choice((20, 27, 28, 40, 48, 60))]
        if self.six:
            return self.roll.choice((ICMPv6DestUnreach(), ICMPv6TimeExceeded())) / Raw(quoted)
        return ICMP(type=self.roll.choice((3, 11, 12, 5)), code=0) / Raw(quoted)

    def tcp(self, port: int) -> Packet:
        roll = self.roll
        number = roll.choice((2000, 2001))
        pair = self.sides.get((number, 80))
        if pair is None or roll.random() < 0.02:
            pair = (Side(roll.getrandbits(32), roll.choice((None, 0, 7, 20))),
                    Side(roll.getrandbits(32), roll.choice((None, 2, 7))))
            self.sides[(number, 80)] = pair
        mine, theirs = pair if port == 1 else pair[::-1]
        flags = roll.choice(FLAGS)
        size = roll.choice((0, 0, 1, 100, 1400))
        seq, ack = mine.seq, theirs.seq
        if roll.random() < 0.2:
            seq += roll.choice((1, -1, 5, -1000, 3000, 65535, -65535, 70000, 1 << 20, 1 << 31))
        if roll.random() < 0.2:
            ack += roll.choice((1, -1, -1000, 3000, 65535, -66000, 70000, 1 << 20, 1 << 31))
        if roll.random() < 0.05:
            ack = 0
        options = [("WScale", mine.scale)] if mine.scale is not None and "S" in flags else []
        if roll.random() < 0.3:
            options = [("NOP", None), ("MSS", 1460), *options]
        sport, dport = (number, 80) if port == 1 else (80, number)
        made = TCP(sport=sport, dport=dport, flags=flags, seq=seq % (1 << 32), ack=ack % (1 << 32),
                   window=roll.choice((0, 1, 512, 8192, 65535)), options=options) / Raw(bytes(size))
        if roll.random() < 0.03:
            made.chksum = 0x1234
        if roll.random() < 0.8:
            mine.seq = (seq + size + ("S" in flags) + ("F" in flags)) % (1 << 32)
        return made
