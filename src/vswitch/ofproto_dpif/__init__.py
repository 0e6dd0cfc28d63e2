"""An OpenFlow switch over a datapath: translation, facets, upcalls, expiration.

What may be imported from outside: `ofprotos.Ofprotos` (all switches of the process and the
datapaths below them), `settings`, `ofproto_dpif.OfprotoDpif` (one bridge), `xlate.bridge.XPort`.
Open `ofproto_dpif.py` first, then `upcall/upcall.py`, and follow the packet.
"""
