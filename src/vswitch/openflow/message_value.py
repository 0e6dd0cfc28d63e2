"""OpenFlow messages as values that JSON has: what `vswitch ofctl --json` prints.

A message's fields keep the names of `openflow/messages`; matches and actions are texts that `ovs-ofctl` takes
again, bytes are hexadecimal, and a counter that the switch doesn't keep is null.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final

from vswitch.flow.match import Match
from vswitch.flow.values import format_mac
from vswitch.openflow.action_format import format_actions
from vswitch.openflow.messages.port import UNKNOWN
from vswitch.openflow.print import message_name
from vswitch.openflow.wire.codec import Message
from vswitch.openflow.wire.version import version_name

_ACTIONS: Final = "actions"
_ADDRESS: Final = "hw_addr"


def message_value(message: Message) -> dict[str, Any]:
    """The message: its name, version and transaction id, then its fields."""
    head = {"message": message_name(message), "version": version_name(message.version), "xid": message.xid}
    body = _value(message.body)
    return head | (body if isinstance(body, dict) else {"body": body})


def _fields(thing: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if field.name == _ACTIONS:
            found[field.name] = format_actions(value)
        elif field.name == _ADDRESS:
            found[field.name] = format_mac(value)
        else:
            found[field.name] = _value(value)
    return found


def _value(thing: Any) -> Any:
    if thing is None or isinstance(thing, (bool, str)):
        return thing
    if isinstance(thing, enum.Enum) and not isinstance(thing, int):
        return thing.name
    if isinstance(thing, int):
        return None if thing == UNKNOWN else int(thing)
    if isinstance(thing, Match):
        return thing.format()
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return bytes(thing).hex()
    if dataclasses.is_dataclass(thing):
        return _fields(thing)
    if isinstance(thing, Mapping):
        return {str(key): _value(value) for key, value in thing.items()}
    if isinstance(thing, (tuple, list, set, frozenset)):
        return [_value(value) for value in thing]
    return str(thing)
