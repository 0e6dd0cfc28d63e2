"""FTP's control connection: where it says that a data connection will come (RFC 959, RFC 2428).

`find` looks at one segment's payload, which holds a whole command or reply: PORT and EPRT from the
client (it will be connected to), 227 and 229 from the server (the client will connect to it).
`announce` writes the same with another address and port.
"""

from __future__ import annotations

import ipaddress
from typing import Final, final

MAX_LINE: Final = 256
"""Bytes of a segment that are looked at; a command or reply with an address is shorter."""


@final
class Announcement:
    """What a segment says: bytes `start` to `end` of its payload are the address and port.

    `address` is None where the reply leaves it out (229): then it is the control connection's.
    """

    def __init__(self, start: int, end: int, address: int | None, port: int, form: str) -> None:
        self.start = start
        self.end = end
        self.address = address
        self.port = port
        self.form = form
        """"comma" (PORT, 227), "bar" (EPRT) or "port" (229)."""


def find(payload: bytes, from_server: bool) -> Announcement | None:
    """The announcement in `payload`, or None. Never raises."""
    line = payload[:MAX_LINE]
    end = line.find(b"\n")
    if end < 0:
        return None
    line = line[:end]
    word = line[:4].upper()
    if from_server:
        if word[:3] == b"227":
            return commas(line, 3)
        if word[:3] == b"229":
            return bars(line, line.find(b"(") + 1, True) if b"(" in line else None
        return None
    if word == b"PORT":
        return commas(line, 4)
    if word == b"EPRT":
        return bars(line, len(line) - len(line[4:].lstrip(b" ")), False)
    return None


def commas(line: bytes, at: int) -> Announcement | None:
    """"h1,h2,h3,h4,p1,p2" behind `at`, wherever it begins."""
    start = at
    while start < len(line) and not (48 <= line[start] <= 57):
        start += 1
    end = start
    while end < len(line) and (48 <= line[end] <= 57 or line[end] == 44):
        end += 1
    parts = line[start:end].split(b",")
    if len(parts) != 6:
        return None
    numbers = [decimal(part, 255) for part in parts]
    if min(numbers) < 0:
        return None
    address = numbers[0] << 24 | numbers[1] << 16 | numbers[2] << 8 | numbers[3]
    port = numbers[4] << 8 | numbers[5]
    return Announcement(start, end, address, port, "comma") if port else None


def bars(line: bytes, at: int, only_port: bool) -> Announcement | None:
    """"|family|address|port|" at `at`, with any delimiter; the first two are empty if `only_port`."""
    if at >= len(line):
        return None
    parts = line[at + 1 :].split(line[at : at + 1], 3)
    if len(parts) != 4:
        return None
    port = decimal(parts[2], 65535)
    if port <= 0:
        return None
    end = at + 1 + len(parts[0]) + 1 + len(parts[1]) + 1 + len(parts[2]) + 1
    if only_port:
        if parts[0] or parts[1]:
            return None
        return Announcement(at, end, None, port, "port")
    try:
        address = ipaddress.ip_address(parts[1].decode("ascii"))
    except ValueError:
        return None
    if parts[0] != (b"1" if address.version == 4 else b"2"):
        return None
    return Announcement(at, end, int(address), port, "bar")


def decimal(text: bytes, most: int) -> int:
    """A number of digits only, up to `most`; else -1."""
    if not text or len(text) > 5 or not text.isdigit():
        return -1
    value = int(text)
    return value if value <= most else -1


def announce(form: str, address: str, port: int) -> bytes:
    """The address and port as an `Announcement` of this form has them."""
    if form == "comma":
        return f"{address.replace('.', ',')},{port >> 8},{port & 0xFF}".encode()
    if form == "bar":
        return f"|{2 if ':' in address else 1}|{address}|{port}|".encode()
    return f"|||{port}|".encode()
