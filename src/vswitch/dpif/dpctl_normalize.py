"""`dpctl/normalize-actions`: what the actions of a datapath flow do to tags and labels, told by what packets
have on them when they leave rather than by pushes and pops.

Actions that come to the same have the same text then: for each stack of VLAN tags and MPLS labels that a
packet has on its way, what else is done to it there.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from vswitch.base.unixctl import ANY, CommandError
from vswitch.dpif.actions import Action, Output, PopMpls, PopVlan, PushMpls, PushVlan
from vswitch.dpif.dpctl import Datapaths, Entry, Options, failed
from vswitch.dpif.odp_format_key import format_key_attrs
from vswitch.dpif.odp_key import decode_key
from vswitch.dpif.odp_parse import fault, labels_fitness
from vswitch.dpif.odp_text import OdpSyntaxError, format_actions, parse_actions, parse_key_attrs
from vswitch.dpif.types import Fitness
from vswitch.flow.flow import Flow
from vswitch.flow.mpls import lse, n_mpls_labels
from vswitch.flow.vlan import qtag
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021Q

MAX_TAGS: Final = 2
UNFIT: Final = {Fitness.TOO_MUCH: errno.EPERM, Fitness.TOO_LITTLE: errno.ENOENT, Fitness.ERROR: errno.ESRCH}
"""How little a key fits, as the error that Open vSwitch takes the number for."""

Stack = tuple[tuple[int, ...], tuple[int, ...]]
"""Tags (TPID << 16 | TCI) and label stack entries, outermost first."""


def _stack(flow: Flow) -> Stack:
    tags = tuple(int(tag) for tag in (qtag(flow, i) for i in range(MAX_TAGS)) if tag & 0xFFFF)
    return tags, tuple(int(lse(flow, i)) for i in range(n_mpls_labels(flow, None)))


def _step(stack: Stack, action: Action) -> Stack | None:
    """The stack that `action` leaves; None if it leaves tags and labels alone."""
    tags, labels = stack
    if isinstance(action, PushVlan):
        return (action.tpid << 16 | action.tci, *tags), labels
    if isinstance(action, PopVlan):
        return tags[1:], labels
    if isinstance(action, PushMpls):
        return tags, (action.lse, *labels)
    if isinstance(action, PopMpls):
        return tags, labels[1:]
    return None


def _tag(tag: int) -> str:
    tpid = "" if tag >> 16 == ETH_TYPE_VLAN_8021Q else f"tpid=0x{tag >> 16:04x},"
    return f"vlan({tpid}vid={tag & 0xFFF},pcp={tag >> 13 & 7}): "


def _label(entry: int) -> str:
    return f"mpls(label={entry >> 12},tc={entry >> 9 & 7},ttl={entry & 0xFF}): "


def _shown(stack: Stack) -> str:
    tags, labels = stack
    return ("".join(map(_tag, tags)) or "no vlan: ") + ("".join(map(_label, labels)) or "no mpls: ")


def normalized(flow: Flow, actions: tuple[Action, ...]) -> str:
    """What is done to packets of `flow`, by what is on them then, those without tags first."""
    stack = _stack(flow)
    done: dict[Stack, list[Action]] = {}
    for action in actions:
        after = _step(stack, action)
        if after is None:
            done.setdefault(stack, []).append(action)
        else:
            stack = after
    return "".join(
        f"{_shown(stack)}{format_actions(tuple(_outputs_in_order(found)))}"
        for stack, found in sorted(done.items(), key=lambda item: item[0])
    )


def _outputs_in_order(actions: list[Action]) -> Iterator[Action]:
    """`actions`, of which outputs that follow each other go by port: their order makes no difference."""
    for is_output, run in groupby(actions, lambda action: isinstance(action, Output)):
        if is_output:
            yield from sorted(run, key=lambda action: int(action.port) if isinstance(action, Output) else 0)
        else:
            yield from run


def _ports(words: list[str]) -> dict[str, int]:
    """NAME=NUMBER words. CommandError."""
    ports = {}
    for word in words:
        name, equals, number = word.partition("=")
        if not equals or not number.isdecimal():
            raise failed(f"{word}: expected NAME=NUMBER")
        ports[name] = int(number)
    return ports


def _normalize(_datapaths: Datapaths, options: Options, args: list[str]) -> str:
    ports = _ports(args[2:])
    try:
        attrs, _ = parse_key_attrs(args[0], ports)
    except OdpSyntaxError as e:
        raise failed(f"odp_flow_key_from_string (syntax error at {e.rest})", errno.EINVAL) from e
    text = f"input flow: {format_key_attrs(attrs, None, False, None) or '<empty>'}\n"
    flow = Flow()
    fitness = decode_key(attrs, flow)
    if fitness in (Fitness.PERFECT, Fitness.TOO_MUCH):
        labels = labels_fitness(attrs)
        fitness = fitness if labels is Fitness.PERFECT else labels
    if fitness is not Fitness.PERFECT:
        why = fault(attrs) if fitness is Fitness.ERROR else "reason unknown"
        raise CommandError(f"{text}{failed(f'odp_flow_key_to_flow failed ({why})', UNFIT[fitness])}")
    try:
        actions = parse_actions(args[1], ports) if args[1] else ()
    except ValueError as e:
        raise CommandError(f"{text}{failed('odp_actions_from_string', errno.EINVAL)}") from e
    if options.more:
        text += f"input actions: {format_actions(actions)}\n"
    what = normalized(flow, actions)
    if args[1] == "drop":
        what = f"{_shown(_stack(flow))}drop"
    return f"{text}{what}\n" if what else text


ENTRIES: Final = (Entry("normalize-actions", "actions", 2, ANY, _normalize),)
