"""Network devices: linux, tap, dummy, patch.

Open `provider.py` first: the contract of a device, and `frame.py`: what a device hands over.
From outside import `registry` (`netdev_open`, `netdev_close`), `scope`, `devices`
(which makes all types known), `frame`, `gso`, and for tests `dummy`. A received packet's way in:
`afpacket.RxRing.recv` -> `linux.LinuxNetdev.recv` -> the datapath; out: `TxRing.send`, `flush`.
"""
