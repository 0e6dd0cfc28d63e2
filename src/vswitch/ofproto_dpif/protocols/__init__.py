"""Protocols that a bridge speaks itself: what joins their machines to its ports, packets and clock.

A machine is sans-I/O and lives in the package of its layer (`l2`, `monitor`); here it gets its packets
(`PacketReceiver`, `xlate/special.py`) and its turns (`BridgeProtocol`, `roles.py`).
"""
