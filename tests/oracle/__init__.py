"""The real ovs-vswitchd as oracle: the same bridges, flows and packets given to it and to ours.

`real.py` runs the real switch on dummy devices; `ours.py` gives the same calls on
`vswitch.Switch`; `cases/*.txt` are the cases written out; `generator.py` makes random ones.
"""
