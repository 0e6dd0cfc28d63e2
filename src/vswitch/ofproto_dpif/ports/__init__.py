"""A bridge's ports, the bundles and mirrors they make, and how both are configured.

Open `ports.py` first; `configure.py` has `bundle_set` and `mirror_set`.
"""
