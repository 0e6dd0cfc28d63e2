"""What watches links and flows: BFD, CFM and LLDP sessions, each a machine without I/O.

A session takes packets, traffic counters and times (clock ms) and gives packets and texts; who sends them,
and when, is `ofproto_dpif`'s business. For each protocol one file has the packet (`*_packet.py`: bytes to
values and back, PacketError for what isn't one) and one the session. Open `bfd.py` first.
"""
