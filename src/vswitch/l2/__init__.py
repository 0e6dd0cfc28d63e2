"""Layer 2 protocols as state machines; MAC learning.

From outside: `mac_learning.MacLearning`. Nothing here does I/O or reads a clock.
"""
