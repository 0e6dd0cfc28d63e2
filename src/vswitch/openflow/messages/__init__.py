"""OpenFlow messages as values: one class a message, whatever version it is written in.

`session.py` (hello, error, echo, features, config, barrier, role, async), `switch.py` (description),
`packet.py`, `flow.py` (and `..flow_mod.FlowMod`), `port.py`, `table.py`, `group.py`, `meter.py`, `queue.py`,
`bundle.py`, `nicira.py`. `wire/codec.py` reads and writes them.

Ports are OpenFlow 1.0's 16-bit numbers; the replies to multipart requests have `more` set when another
part follows.
"""
