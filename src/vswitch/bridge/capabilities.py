"""Datapath.capabilities: what a datapath can do, by the database's names."""

from __future__ import annotations

from dataclasses import fields

from vswitch.dpif.probe import Support

_NAMES = {"masked_set": "masked_set_action"}
_LEFT_OUT = frozenset(("variable_length_userdata", "dec_ttl", "max_meters"))


def capabilities(support: Support) -> dict[str, str]:
    """Capability -> "true", "false" or a number."""
    found: dict[str, str] = {}
    for field in fields(support):
        if field.name not in _LEFT_OUT:
            value = getattr(support, field.name)
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[_NAMES.get(field.name, field.name)] = text
    found["ct_flush"] = found["ct_state"]
    return found
