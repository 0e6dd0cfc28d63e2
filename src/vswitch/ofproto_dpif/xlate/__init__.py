"""Translation: what happens to the packets of one flow, as datapath actions, a mask and effects.

Open `translate.py` first, then `ctx.py` (the state of one translation) and `tables.py`. `actions/` has what
each OpenFlow action does. From outside: `translate.xlate`, `types.XlateIn` and `XlateOut`, the classes of
`effects.py`, `recirc.py`.

Tables, actions, outputs, NORMAL and what waits behind a recirculation call each other in a circle, because
OpenFlow does: an action resubmits to a table, whose rule has actions. This is the only circle.

Translation changes nothing but three things that show nowhere: it takes references to recirculation ids
(equal states have one id, and whoever drops a translation gives them back), asks the datapath for the
upcall pids of ports and keeps them, and works out once how a select group chooses and in which
order a bucket's actions run. `tests/xlate/test_megaflow.py` checks that repeating it leaves no trace.
"""
