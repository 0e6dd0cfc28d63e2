"""What the switch knows of a packet, as a vector of 64-bit words; masks, matches, their text.

Open `fields.py` first: the one list of match fields, from which masks, text, OXM and the datapath's
key attributes derive. `layout.py` has the places in the vector as constants for compiled code,
`flow.py` the `Flow`, `match.py` the `Match`. `match_text.py` reads flow text (`parse_match`,
`parse_exact_flow`), `text.py` prints it; `values.py`, `flags.py` and `syntax.py` are what those two
are made of. `prereq.py` says which fields a packet has. `extract.py` reads a packet's bytes into a
flow, `compose.py` makes a packet from one. All of it may be imported from outside.
"""
