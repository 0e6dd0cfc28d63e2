"""Outer headers of tunnels: VXLAN, Geneve, GRE, ERSPAN, GTP-U, SRv6 and bare UDP, without I/O.

`kinds.py` names the kinds; `decap.py` reads a received packet's tunnel header, `headers.py` makes one,
`outer.py` puts Ethernet, IP and UDP in front of it and completes the lengths and checksums of each packet.
"""
