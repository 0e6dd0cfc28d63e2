"""The "system" datapath: the Linux openvswitch module over 17 Netlink channels.

`provider.py` is the `Dpif`; open it first. `channels.py` is how packets come up, `sketch.py` who
sends too many. One file for each Generic Netlink family of the module: `datapath.py`, `vport.py`,
`flow.py`, `packet.py`, `meter.py`, `ct_limit.py`. `port_changes.py` hears what becomes of ports;
`ct.py` is the kernel's connection tracking.
"""
