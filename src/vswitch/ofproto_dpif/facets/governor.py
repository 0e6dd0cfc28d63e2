"""Which new flows are worth a datapath flow, when misses come too fast.

Installing a flow costs more than forwarding one packet of it, so a flow that will see two or
three packets is better never installed. While a governor is there, a flow is installed only
once `FLOW_SETUP_THRESHOLD` packets of it have come up. They are counted in a hash table of
4-bit counters that forgets: two flows may share a counter, which errs to the side of
installing. Packets of flows that are not installed are forwarded all the same.

A generation lasts `GENERATION_MS`. At its end the table takes the size that suits the number
of packets it saw, and counts from zero again. A generation that sees next to nothing makes
the governor idle, and its owner lets go of it.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

FLOW_SETUP_THRESHOLD: Final = 5
"""Packets that a flow must have shown before it is installed."""
MIN_SIZE: Final = 1 << 12
"""Fewest bytes of table; two counters fit one byte."""
MAX_SIZE: Final = 1 << 20
GENERATION_MS: Final = 1000
IDLE_GENERATIONS: Final = 10
"""So many quiet generations in a row make a governor idle."""
IDLE_PACKETS: Final = 50
"""A generation with fewer packets than this is quiet."""


@final
class Governor:
    """Decides for one datapath. `name` is for the log, `now` in clock ms."""

    def __init__(self, name: str, now: int) -> None:
        self.name: str = name
        self.size: i64 = MIN_SIZE
        self.table: bytearray = bytearray(MIN_SIZE)
        self.started: int = now
        """When this generation began."""
        self.quiet: int = 0
        """Quiet generations in a row up to this one."""
        self.n_packets: int = 0
        """Packets considered in this generation."""
        self.n_setups: int = 0
        """Flows let through in this generation."""
        self.n_shortcuts: int = 0
        """Of these, flows let through because one batch brought enough packets."""
        self.total_setups: int = 0
        self.total_refusals: int = 0

    def should_install_flow(self, flow_hash: i64, n_packets: i64) -> bool:
        """Whether the flow that hashes to `flow_hash` and brought `n_packets` is worth it."""
        self.n_packets += n_packets
        if n_packets >= FLOW_SETUP_THRESHOLD:
            self.n_setups += 1
            self.n_shortcuts += 1
            self.total_setups += 1
            return True
        index: i64 = (flow_hash >> 1) & (self.size - 1)
        table = self.table
        pair: i64 = table[index]
        if flow_hash & 1:
            count: i64 = (pair >> 4) + n_packets
            if count >= FLOW_SETUP_THRESHOLD:
                table[index] = pair & 0x0F
            else:
                table[index] = (pair & 0x0F) | (count << 4)
        else:
            count = (pair & 0x0F) + n_packets
            if count >= FLOW_SETUP_THRESHOLD:
                table[index] = pair & 0xF0
            else:
                table[index] = (pair & 0xF0) | count
        if count >= FLOW_SETUP_THRESHOLD:
            self.n_setups += 1
            self.total_setups += 1
            return True
        self.total_refusals += 1
        return False

    def run(self, now: int) -> None:
        """End the generation if it is over."""
        elapsed = now - self.started
        if elapsed < GENERATION_MS:
            return
        self.quiet = self.quiet + elapsed // GENERATION_MS if self.n_packets < IDLE_PACKETS else 0
        size = MIN_SIZE
        while size < MAX_SIZE and size < 4 * self.n_packets:
            size *= 2
        self.size = size
        self.table = bytearray(size)
        self.started = now
        self.n_packets = 0
        self.n_setups = 0
        self.n_shortcuts = 0

    def is_idle(self) -> bool:
        """Whether misses have become so rare that every flow may be installed again."""
        return self.quiet >= IDLE_GENERATIONS

    def wakeup(self) -> int:
        """Clock ms at which `run` has something to do."""
        return self.started + GENERATION_MS
