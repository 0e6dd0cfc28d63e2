"""`vswitch vsctl`: the words of ovs-vsctl(8) against any database server of the switch's schema.

`main.py` carries out a command line; `commands.py` is the table of commands, whose work is in
`bridges.py`, `connections.py` and `records.py`; `replica.py` holds the database's content and the
transaction that a command line makes.
"""

import vswitch.ovsdb  # noqa: F401  (first, so that the library it prepares is loaded as it wants)
