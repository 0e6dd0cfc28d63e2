"""Tunnels: which port a packet belongs to, where the outer packet goes, and who is there.

`match.py` finds the tunnel port of a packet that arrived, `send.py` says what a packet that leaves by one
gets as outer header, `routes.py` and `neighbours.py` by which bridge and to which address, `listeners.py`
which packets on a bridge are outer ones. `underlay.py` holds the state that all bridges of a process share.
No I/O but in `kernel_routes.py`, which follows the host's own routes and addresses.
"""
