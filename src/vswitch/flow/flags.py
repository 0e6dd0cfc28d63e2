"""Flags by name: TCP, connection tracking and tunnel flags, as flow text writes them."""

from __future__ import annotations

from typing import Final

from vswitch.flow.syntax import FlowSyntaxError, parse_integer

TCP_FLAG_NAMES: Final[dict[str, int]] = {
    "fin": 0x001, "syn": 0x002, "rst": 0x004, "psh": 0x008, "ack": 0x010, "urg": 0x020, "ece": 0x040,
    "cwr": 0x080, "ns": 0x100, "[200]": 0x200, "[400]": 0x400, "[800]": 0x800,
}  # fmt: skip
CT_STATE_NAMES: Final[dict[str, int]] = {
    "new": 0x01, "est": 0x02, "rel": 0x04, "rpl": 0x08, "inv": 0x10, "trk": 0x20, "snat": 0x40,
    "dnat": 0x80,
}  # fmt: skip
TUN_FLAG_NAMES: Final[dict[str, int]] = {"oam": 0x1, "df": 0x2, "csum": 0x4, "key": 0x8}


def format_flags(names: dict[str, int], value: int) -> str:
    """All flags of `value` that are set, as "syn|ack"; "0" for none."""
    if not value:
        return "0"
    words = [name for name, bit in names.items() if value & bit]
    rest = value & ~sum(names.values())
    if rest:
        words.append(f"0x{rest:x}")
    return "|".join(words)


def format_flags_masked(names: dict[str, int], value: int, mask: int) -> str:
    """The flags that `mask` selects, as "+syn-ack"; "0/0" if it selects none."""
    if not mask:
        return "0/0"
    text = "".join(("+" if value & bit else "-") + name for name, bit in names.items() if mask & bit)
    rest = mask & ~sum(names.values())
    if rest:
        text += f"{'+' if value & rest else '-'}0x{rest:x}"
    return text


def parse_flags(text: str, names: dict[str, int], what: str) -> tuple[int, int]:
    """Read "+syn-ack", "syn|ack", "2" or "2/0x12": (value, mask); `what` names the flags in errors.

    Without a mask or signs the match is exact over all flags in `names`. FlowSyntaxError.
    """
    everything = sum(names.values())
    if text[:1].isdigit():
        number, slash, mask_text = text.partition("/")
        value = parse_integer(number)
        mask = parse_integer(mask_text) if slash else everything
        if value is None or mask is None or (value | mask) & ~everything:
            raise FlowSyntaxError(f"{text}: unknown {what} flag(s)", text)
        return value & mask, mask
    if text[:1] in ("+", "-"):
        return _parse_signed(text, names, what)
    value = 0
    for name in text.split("|"):
        if name not in names:
            raise FlowSyntaxError(f"{text}: unknown {what} flag(s)", text)
        value |= names[name]
    return value, everything


def _parse_signed(text: str, names: dict[str, int], what: str) -> tuple[int, int]:
    value = mask = 0
    i = 0
    while i < len(text):
        sign = text[i]
        end = i + 1
        while end < len(text) and text[end] not in "+-":
            end += 1
        name = text[i + 1 : end]
        if sign not in "+-" or name not in names:
            raise FlowSyntaxError(f"{name}: unknown {what} flag(s)", name)
        bit = names[name]
        if mask & bit:
            raise FlowSyntaxError(f"{name}: Each {what} flag can be specified only once", name)
        mask |= bit
        if sign == "+":
            value |= bit
        i = end
    return value, mask
