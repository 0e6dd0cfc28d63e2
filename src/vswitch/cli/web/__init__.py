"""`vswitch web`: a live page of a running switch, served by a process of its own.

`database.py` follows the configuration, `topology.py`, `tables.py` and `datapath.py` make values of what
the switch answers, `trace.py` of a trace's text; `server.py` serves them with the files of `static/`.
"""
