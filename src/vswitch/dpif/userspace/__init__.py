"""The "netdev" datapath: packets forwarded in this process.

Open `core.py` first: `Core.process` is the fast path. A packet goes `provider.run` ->
`Core.process` -> `emc` (exact match over header bytes) -> `dpcls` (masked flows) -> the flow's
steps (`odp_step.py`, made by `odp_compile.py`) -> `Core.flush`; a miss goes to `upcalls.py`.
From outside import only `provider.UserspaceDpif`.
"""
