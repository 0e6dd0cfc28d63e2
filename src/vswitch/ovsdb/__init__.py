"""The configuration database: the OVSDB protocol (RFC 7047) and an embedded server.

Import `Database` (`database.py`), `Server` (`server.py`) and `VSWITCH` (`vswitch_schema.py`) from
outside. Open `transaction.py` first: it is what all the rest serves. Types, their constraints and
their JSON are those of the official `ovs` library.
"""
