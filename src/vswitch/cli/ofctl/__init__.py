"""`vswitch ofctl`: the everyday words of ovs-ofctl(8) to any OpenFlow switch.

`main.py` has the options and the table of commands, `switch.py` the connection; what the commands
do is in `flows.py`, `groups.py`, `ports.py`, `tables.py`, `packets.py` and `watch.py`.
"""
