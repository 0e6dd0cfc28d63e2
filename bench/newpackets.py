"""`python -m bench.newpackets INTERFACE COUNT RATE DESTINATION-MAC`: send COUNT UDP packets at RATE a
second, each of a flow of its own. In a process of its own, inside a host's namespace."""

from __future__ import annotations

import socket
import sys
import time

BURST = 20


def packet(n: int, destination: bytes) -> bytes:
    """The n-th packet: from 10.78.0.0 plus n to 10.77.0.2 (RFC 791, RFC 768; no checksums)."""
    source, target = (0x0A4E0000 + n).to_bytes(4, "big"), bytes((10, 77, 0, 2))
    ip = bytes.fromhex("4500002e 0001 4000 4011 0000") + source + target
    udp = (1024 + n % 50_000).to_bytes(2, "big") + bytes.fromhex("0fa2 001a 0000") + bytes(18)
    return destination + bytes.fromhex("020000007799 0800") + ip + udp


def main() -> None:
    """Send them."""
    interface, count, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    destination = bytes.fromhex(sys.argv[4].replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        begin = time.monotonic()
        for n in range(count):
            sender.send(packet(n, destination))
            if n % BURST == 0:
                time.sleep(max(begin + n / rate - time.monotonic(), 0))


if __name__ == "__main__":
    main()
