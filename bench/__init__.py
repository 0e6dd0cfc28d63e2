"""Benchmarks: ours beside the real Open vSwitch, in one run, as ratios (`make bench`).

Start with `__main__.py`; each module is one question and returns `Row`s.
"""
