"""Netlink and Generic Netlink: how the switch talks to the Linux kernel.

Open first: `socket.py` (requests, dumps, batches, notifications). `attrs.py` reads and writes
attributes and is compiled; `genl.py` finds families and multicast groups; `errors.py` has the one
error that comes out. What may be used from outside is in those four modules.
"""
