"""Makes the switches match the configuration database (ovs-vswitchd.conf.db(5)).

Import `Idl` (`idl.py`, the database's client) and `Bridges` (`bridges.py`, a part of the main loop) from
outside. Open `bridges.py` first: the order in which a change of the database is carried out. One file
a table then: `bridge.py`, `ports.py`, `interfaces.py`, `controllers.py`, `mirrors.py`...
"""
