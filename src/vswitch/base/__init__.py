"""Clock, event counters, rate limits, tags, logging and the registry of runtime commands; no networking.

Every module here may be imported from outside. Open `clock.py` and `vlog.py` first: the rest
of the switch is handed the one and speaks through the other.
"""
