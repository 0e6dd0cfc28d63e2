"""Packets that come up from the datapath, and packets from and for controllers.

Open `upcall.py` first: batches of up to 50, classified, translated and answered in one `Dpif.operate`.
"""
