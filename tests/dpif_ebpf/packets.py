"""Random packets for the eBPF datapath's tests, seeded: ordinary ones and mutations of them."""

from __future__ import annotations

import random

from vswitch.packet.checksum import csum

MACS = [bytes.fromhex(m) for m in ("02000000000a", "02000000000b", "ffffffffffff", "01005e000005")]


def checksum(data: bytes) -> bytes:
    return int(csum(data)).to_bytes(2, "big")


def l4(r: random.Random, proto: int, pseudo: bytes, size: int) -> bytes:
    """A header of `proto` with `size` bytes of payload and a right checksum."""
    ports = r.choice((80, 443, 1000, 5000)).to_bytes(2, "big") + r.randrange(1, 65536).to_bytes(2, "big")
    payload = r.randbytes(size)
    if proto == 6:
        flags = r.choice((0x02, 0x10, 0x18, 0x11))
        head, tail = ports + r.randbytes(8) + bytes((0x50, flags)) + r.randbytes(2), b"\0\0" + payload
    elif proto == 17:
        head, tail = ports + (8 + size).to_bytes(2, "big"), payload
    elif proto in (1, 58):
        head, tail = bytes((r.choice((8, 0, 3, 128, 129)), r.choice((0, 1)))), r.randbytes(4) + payload
        if proto == 1:
            pseudo = b""
    elif proto == 132:
        return ports + r.randbytes(8) + payload
    else:
        return payload
    length = len(head) + 2 + len(tail)
    if pseudo:
        pseudo += length.to_bytes(4, "big") + bytes((0, 0, 0, proto))
    summed = pseudo + head + b"\0\0" + tail
    check = checksum(summed + b"\0" * (len(summed) % 2))
    if proto == 17 and r.random() < 0.2:
        check = b"\0\0"
    return head + check + tail


def ipv4(r: random.Random, proto: int | None = None) -> bytes:
    if proto is None:
        proto = r.choice((6, 6, 17, 17, 1, 132, 47))
    src, dst = (bytes((10, 0, 0, r.randrange(1, 5))) for _ in range(2))
    options = b"\x01" * 4 if r.random() < 0.1 else b""
    body = l4(r, proto, src + dst, r.choice((0, 7, 26, 120)))
    head = bytes((0x45 + len(options) // 4, r.choice((0, 0, 0x28))))
    head += (20 + len(options) + len(body)).to_bytes(2, "big") + r.randbytes(2)
    head += b"\x40\0" + bytes((r.choice((1, 2, 64, 255)), proto))
    return b"\x08\0" + head + checksum(head + b"\0\0" + src + dst + options) + src + dst + options + body


def ipv6(r: random.Random, proto: int | None = None) -> bytes:
    if proto is None:
        proto = r.choice((6, 17, 58, 132, 59))
    src, dst = (bytes.fromhex("fd00") + bytes(13) + bytes((r.randrange(1, 5),)) for _ in range(2))
    body = l4(r, proto, src + dst, r.choice((0, 7, 26, 120)))
    first = 6 << 28 | r.choice((0, 0x28)) << 20 | r.choice((0, 0x12345))
    head = first.to_bytes(4, "big") + len(body).to_bytes(2, "big") + bytes((proto, r.choice((1, 64))))
    return b"\x86\xdd" + head + src + dst + body


def arp(r: random.Random) -> bytes:
    kind = b"\x08\x06" if r.random() < 0.8 else b"\x80\x35"
    return kind + b"\0\1\x08\0\6\4\0" + bytes((r.choice((1, 2)),)) + r.randbytes(20) + bytes(18)


def mpls(r: random.Random) -> bytes:
    n = r.randrange(1, 5)
    stack = b"".join(r.randbytes(2) + bytes((r.randrange(256) & 0xFE | (i == n - 1), 64)) for i in range(n))
    return r.choice((b"\x88\x47", b"\x88\x48")) + stack + ipv4(r)[2:]


def other(r: random.Random) -> bytes:
    return r.choice((b"\x88\xcc", b"\x12\x34", b"\x89\x02", b"\x00\x26")) + r.randbytes(40)


KINDS = (ipv4, ipv4, ipv4, ipv6, ipv6, arp, mpls, other)


def ordinary(r: random.Random) -> bytes:
    """A well-formed Ethernet frame, at least as long as the smallest on a wire."""
    frame = r.choice(MACS) + r.choice(MACS[:2]) + r.choice(KINDS)(r)
    return frame.ljust(60, b"\0") if r.random() < 0.5 else frame


def mutated(r: random.Random) -> bytes:
    """An ordinary frame or one with something wrong or unusual about it."""
    frame = bytearray(ordinary(r))
    kind = r.random()
    if kind < 0.35:
        for _ in range(r.randrange(1, 4)):
            frame[r.randrange(12, min(len(frame), 80))] = r.randrange(256)
    elif kind < 0.5:
        del frame[r.randrange(14, len(frame)) :]
    elif kind < 0.6 and frame[12:14] == b"\x08\0":
        frame[20:22] = r.choice((b"\x20\0", b"\0\x10", b"\x20\x10", b"\x40\0", b"\xff\xff"))
    elif kind < 0.65 and frame[12:14] == b"\x86\xdd" and len(frame) > 60:
        frame[20] = r.choice((0, 43, 44, 51, 60, 135))
        if frame[20] == 135:
            frame[20], frame[54], frame[55] = 58, r.choice((135, 136)), r.choice((0, 1))
    elif kind < 0.7:
        frame[12:12] = r.choice((b"\x81\0", b"\x88\xa8")) + r.randbytes(2)
    return bytes(frame)
