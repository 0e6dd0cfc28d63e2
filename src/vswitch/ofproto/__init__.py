"""An OpenFlow switch without a datapath: tables, rules, ports.

From outside: `tables.Tables` (what flow mods do), `table.Table`, `rule.Rule`, `ports.OfPort`,
`ofproto.Ofproto` (the interface that a switch over a datapath fills in). Open `ofproto.py` first,
then `tables.py`.
"""
