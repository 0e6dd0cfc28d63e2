"""The vswitch command.

`main.py` is the arguments; `run.py` a switch in the foreground; `demo.py` the demonstration;
`datapath.py` chooses the datapath and says why. Nothing imports this package.
"""
