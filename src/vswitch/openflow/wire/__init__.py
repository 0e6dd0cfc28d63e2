"""The OpenFlow wire format, 1.0 to 1.5 with the Nicira extensions: bytes to values and back, no I/O.

`buffer.py` reads and writes integers; on it stand `match.py` (ofp_match, OXM, NXM), `actions.py` and
`instructions.py`, whose functions put_... write a value for a version and get_... read it back. What is
wrong with bytes from outside is an `OfpError` whose name `errors.py` turns into each version's numbers.
"""
