"""The configuration database: the OVSDB protocol (RFC 7047), an embedded server, a plain client.

Import `Database` (`database.py`), `Server` (`server.py`), `Client` (`client.py`) and `VSWITCH`
(`vswitch_schema.py`) from outside. Open `transaction.py` first: it is what all the rest serves.
Types, their constraints and their JSON are those of the official `ovs` library.
"""

from vswitch.base.sparing import absent, put_off

# The library would take eventlet in where it is installed: slow to load, and it complains. TLS is loaded by
# who needs it; what serves its log and its sorted indexes is used by nobody here.
with absent("eventlet", "ssl"), put_off("datetime", "pickle", "sortedcontainers"):
    import ovs.db.custom_index
    import ovs.poller  # noqa: F401
