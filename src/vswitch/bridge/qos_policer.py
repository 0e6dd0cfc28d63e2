"""QoS by the userspace datapath's own policers: rows of type egress-policer and trtcm-policer
(ovs-vswitchd.conf.db(5), tables QoS and Queue)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vswitch.bridge.idl import Row
from vswitch.dpif.types import EgressPolicing, PolicerRates, QueueCounters

Keys = tuple[str, ...]
POLICERS: Final[Mapping[str, Keys]] = {
    "egress-policer": ("cir", "cbs"),
    "trtcm-policer": ("cir", "cbs", "eir", "ebs"),
}
"""Type -> its keys, of which those of a queue are the same."""
MAX_RATE: Final = 1 << 40
"""Bytes a second, and bytes of a burst: more than any device."""


class BadPolicer(Exception):
    """The row makes no policer; the text says why."""


def egress_policing(row: Row) -> EgressPolicing:
    """What a row of QoS asks for. BadPolicer."""
    keys = POLICERS[row.type]
    port = _rates(row.other_config, keys)
    if row.type == "egress-policer":
        if not port.cir:
            raise BadPolicer("cir is missing or 0: nothing would leave")
        return EgressPolicing(port)
    queues = {number: _rates(queue.other_config, keys) for number, queue in row.queues.items()}
    return EgressPolicing(port, {0: port} | queues)


def _rates(other: Mapping[str, str], keys: Keys) -> PolicerRates:
    value = {key: _number(other, key) for key in keys}
    for rate, burst in (("cir", "cbs"), ("eir", "ebs")):
        if value.get(rate) and not value[burst]:
            raise BadPolicer(f"{rate}={value[rate]} needs a burst, but {burst} is missing or 0")
    return PolicerRates(**value)


def _number(other: Mapping[str, str], key: str) -> int:
    text = other.get(key, "0")
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value <= MAX_RATE:
        raise BadPolicer(f'{key}="{text}" is no number from 0 to {MAX_RATE}')
    return value


def shown(type: str, policing: EgressPolicing, counters: Mapping[int, QueueCounters]) -> str:
    """What `qos/show` says after its first line."""
    keys = POLICERS[type]
    text = "".join(f"{key}: {getattr(policing.port, key)}\n" for key in keys)
    for number, rates in sorted(policing.queues.items()):
        told = counters.get(number, QueueCounters())
        lines = [f"Queue {number}:" if number else "Default:"]
        lines += [f"  {key}: {getattr(rates, key)}" for key in keys]
        lines += [f"  tx_packets: {told.packets}", f"  tx_bytes: {told.bytes}",
                  f"  tx_errors: {told.dropped}"]
        text += "\n" + "".join(f"{line}\n" for line in lines)
    return text
