"""The vswitchd process: main loop and unixctl server.

`daemon.Daemon` is what outsiders import: it runs parts (switches) in an asyncio loop, answers
`ovs-appctl`, and ends cleanly. Open `mainloop.py` first. Everything below this layer is plain
synchronous code; only this package knows asyncio.
"""
