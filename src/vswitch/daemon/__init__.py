"""The vswitchd process: main loop and unixctl server.

`daemon.Daemon` is what outsiders import: it runs parts (switches) in an event loop, answers
`ovs-appctl`, and ends cleanly. Open `mainloop.py` first. Everything below this layer is plain
synchronous code; only this package and the database server know of event loops (`eventloop.py`).
"""
