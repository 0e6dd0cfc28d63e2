"""Actions as text, both ways, in ovs-ofctl's syntax (ovs-actions(7))."""

from __future__ import annotations

from vswitch.openflow.action_format import format_action, format_actions
from vswitch.openflow.action_parse import parse_actions, parse_plain_actions
from vswitch.openflow.subfield import format_subfield, parse_subfield

__all__ = [
    "format_action",
    "format_actions",
    "format_subfield",
    "parse_actions",
    "parse_plain_actions",
    "parse_subfield",
]
