"""Run in the switch's namespace: tagged packets from one host, through devices, to another.

Prints whether the received frames are what was sent, and how each arrived there: the type that
is left in the frame, then tci and tpid of the tag that the kernel stripped there (`tpacket_auxdata`).
"""

from __future__ import annotations

import subprocess
import sys
import time

from vswitch.netdev.registry import netdev_open

MACS = "ffffffffffff02000000000a"
TAGGED = [MACS + tags + "88b5" + "00" * 46 for tags in ("8100e007", "88a80001", "88a800058100a006", "")]
SEND = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0))
for packet in sys.argv[1:]:
    s.send(bytes.fromhex(packet))
"""
LISTEN = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.bind(('eth0', 3)); s.settimeout(5)
s.setsockopt(263, 8, 1); print('ready', flush=True)
while True:
    data, aux, _, _ = s.recvmsg(2000, 100)
    if data[6:12].hex() == '02000000000a':
        print(data[12:14].hex(), aux[0][2][16:].hex(), flush=True)
"""


def inside(namespace: str, program: str, *args: str) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", program, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main(sender: str, receiver: str) -> None:
    a, b = netdev_open("ndpA"), netdev_open("ndpB")
    inside(sender, SEND, *TAGGED).communicate()
    time.sleep(0.2)
    frames = [f for f in a.recv(32) if f.data[6:12].hex() == "02000000000a"]
    print([f.data.hex() for f in frames] == TAGGED)
    listener = inside(receiver, LISTEN)
    assert listener.stdout is not None
    listener.stdout.readline()
    b.send(frames)
    b.flush()
    for _ in frames:
        print(listener.stdout.readline().strip())
    listener.kill()
    listener.communicate()

