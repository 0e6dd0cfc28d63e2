"""What each OpenFlow action does in translation; `dispatch.py` has the table of them.

Whichever module of the package is asked for first, `dispatch` is loaded before it: its table names functions
of the others, which look `dispatch` up only when they run.
"""

from vswitch.ofproto_dpif.xlate.actions import dispatch

__all__ = ["dispatch"]
