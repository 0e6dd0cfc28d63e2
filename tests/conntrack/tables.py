"""Flow tables for conversations. In `IP` stand both versions in turn, in `VALID` each state that is known."""

from __future__ import annotations

from itertools import product
from pathlib import Path


def flow_table(name: str) -> str:
    """The flows of tables/NAME.txt."""
    lines: list[str] = []
    for line in (Path(__file__).parent / "tables" / f"{name}.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        families = ("ip", "ipv6") if ",IP," in line else ("",)
        states = ("est", "new", "rel") if "+VALID" in line else ("",)
        for family, state in product(families, states):
            lines.append(line.replace(",IP,", f",{family},").replace("+VALID", f"+{state}"))
    return "\n".join(lines) + "\n"
