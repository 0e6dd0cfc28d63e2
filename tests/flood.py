"""A flood of new flows, for hosts 10.0.0.1 (flooding), .2 (50 flows a second), .3 (counting), .4.

Python programs to run on these hosts, and the flow table that makes each of their packets a
flow of its own.
"""

from __future__ import annotations

FLOWS = (
    # Reading source address and port tells flows apart by them.
    "udp,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG1[],move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],NORMAL",
    "priority=0,actions=NORMAL",
)

FLOOD = """
import socket, struct, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
s.setsockopt(263, 20, 1)  # PACKET_QDISC_BYPASS
eth = bytes.fromhex("020000000004020000000001" "0800")
end = time.monotonic() + float(sys.argv[1])
n = 0
while time.monotonic() < end:
    for _ in range(64):
        n += 1
        src = struct.pack(">I", 0x0b000000 + (n >> 14))
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 46, 0, 0, 64, 17, 0, src, b"\\x0a\\x09\\x09\\x09")
        s.send(eth + ip + struct.pack(">HHHH", 1024 + (n & 0x3fff), 9, 26, 0) + bytes(18))
print(n)
"""

VICTIM = """
import socket, sys, time
n, gap = int(sys.argv[1]), 1 / float(sys.argv[2])
start = time.monotonic()
for i in range(n):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.0.0.2", 20000 + i))
    s.sendto(b"flow %d" % i, ("10.0.0.3", 7777))
    s.close()
    time.sleep(max(0, start + (i + 1) * gap - time.monotonic()))
"""

RECEIVER = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.3", 7777))
s.settimeout(0.2)
end = time.monotonic() + float(sys.argv[1])
seen = set()
print("ready", flush=True)
while time.monotonic() < end:
    try:
        seen.add(s.recv(100))
    except TimeoutError:
        pass
print(len(seen))
"""
