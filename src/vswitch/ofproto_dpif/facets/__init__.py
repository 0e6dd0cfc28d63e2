"""Translations that are kept: facets, their datapath flows, statistics, and what makes them end.

Open `facet.py` first, then `install.py` (into and out of the datapath) and `revalidate.py`.
"""
