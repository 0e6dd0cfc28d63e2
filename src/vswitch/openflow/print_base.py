"""What all printed messages share: ports, bits, durations, counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vswitch.flow.values import format_port

Ports = Mapping[int, str] | None
"""Port number -> name, or None to print numbers."""
UNKNOWN = 0xFFFFFFFFFFFFFFFF


def bits(value: int, names: Sequence[str], none: str = "0", between: str = " ") -> str:
    """The names of `value`'s bits (index is bit number; "" has no name), what is left in hexadecimal."""
    words = [name for i, name in enumerate(names) if name and value >> i & 1]
    rest = value & ~sum(1 << i for i, name in enumerate(names) if name)
    if rest:
        words.append(f"0x{rest:x}")
    return between.join(words) if words else none


def duration(seconds: int, nanoseconds: int) -> str:
    """ "0.609s": three decimals for milliseconds, as many as it takes for less, none for whole seconds."""
    text = f"{seconds}"
    if nanoseconds:
        decimals = f"{nanoseconds:09d}"
        text += "." + (decimals[:3] if nanoseconds % 1000000 == 0 else decimals.rstrip("0"))
    return text + "s"


def counter(value: int) -> str:
    """The number, or "?" where it isn't kept."""
    return "?" if value == UNKNOWN else str(value)


def port_text(port: int, ports: Ports) -> str:
    """A port's number, reserved name or name."""
    return format_port(port, ports)


def plain_dump(data: bytes) -> str:
    """16 bytes a line: the offset and the bytes."""
    out = ""
    for at in range(0, len(data), 16):
        pairs = [f"{byte:02x}" for byte in data[at : at + 16]]
        halves = (" ".join(pairs[:8]), " ".join(pairs[8:]))
        out += f"{at:08x}  {'-'.join(half for half in halves if half)}\n"
    return out
