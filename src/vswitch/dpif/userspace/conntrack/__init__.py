"""Connection tracking for the userspace datapath: stateful matching, NAT, limits and timeouts.

`tracker.Tracker` is all that the datapath needs; open it first. Nothing here does I/O or reads a
clock: a packet and `now` (ms) come in, its state, mark, label and bytes are different afterwards.
Connections are records of words in `table.Table`, not objects, so that a million of them cost the
garbage collector nothing.
"""
