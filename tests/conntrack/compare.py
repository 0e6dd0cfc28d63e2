"""One packet after the other into both switches, and where they differ."""

from __future__ import annotations

from tests.conntrack.pair import OurTracker, RealTracker, connections


def show(packets: list[tuple[int, bytes]]) -> str:
    return "".join(f"  p{port} {data.hex()}\n" for port, data in packets) or "  nothing\n"


def step(real: RealTracker, ours: OurTracker, port: int, packet: bytes) -> str:
    """Let `packet` in by `port`: "" if both send the same and then know the same connections."""
    mine = ours.send(port, packet)
    theirs = real.send(port, packet, len(mine))
    if sorted(theirs) != sorted(mine):
        return f"p{port} {packet.hex()}\nreal:\n{show(theirs)}ours:\n{show(mine)}"
    return difference(real, ours)


def difference(real: RealTracker, ours: OurTracker) -> str:
    """Where their connections differ."""
    theirs, mine = (
        connections(tracker, "-m", "-s") + connections(tracker) + connections(tracker, "zone=1")
        for tracker in (real, ours)
    )
    if theirs == mine:
        return ""
    lines = [f"-{line}\n" for line in theirs if line not in mine]
    return "".join(lines + [f"+{line}\n" for line in mine if line not in theirs])
