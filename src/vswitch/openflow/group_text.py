"""Groups and meters from text, in ovs-ofctl's syntax (ovs-ofctl(8), "Group Syntax", "Meter Syntax").

`parse_group` reads "group_id=1,type=all,bucket=output:2,bucket=...", `parse_meter` reads
"meter=1,kbps,burst,bands=type=drop,rate=1000,burst_size=100". How they are printed is in
`print_group.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.syntax import FlowSyntaxError, Word, split_words
from vswitch.flow.values import parse_port, parse_value
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.action_words import bounded, u32, u64
from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY
from vswitch.openflow.errors import OfpError
from vswitch.openflow.group_check import check_group, check_selection
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m

TYPES: Final = {
    "all": g.OFPGT_ALL,
    "select": g.OFPGT_SELECT,
    "indirect": g.OFPGT_INDIRECT,
    "ff": g.OFPGT_FF,
    "fast_failover": g.OFPGT_FF,
}
COMMANDS: Final = {
    "add": g.OFPGC_ADD,
    "modify": g.OFPGC_MODIFY,
    "add_or_mod": g.OFPGC_ADD_OR_MOD,
    "delete": g.OFPGC_DELETE,
    "insert_bucket": g.OFPGC_INSERT_BUCKET,
    "remove_bucket": g.OFPGC_REMOVE_BUCKET,
}
_PLACES: Final = {
    "first": g.OFPG_BUCKET_FIRST, "last": g.OFPG_BUCKET_LAST, "all": g.OFPG_BUCKET_ALL,
}  # fmt: skip
_WORDS: Final = ("group_id", "type", "command_bucket_id", "selection_method", "selection_method_param")
_METERS: Final = {"all": m.OFPM_ALL, "controller": m.OFPM_CONTROLLER, "slowpath": m.OFPM_SLOWPATH}
_METER_FLAGS: Final = {
    "kbps": m.OFPMF_KBPS, "pktps": m.OFPMF_PKTPS, "burst": m.OFPMF_BURST, "stats": m.OFPMF_STATS,
}  # fmt: skip
_BANDS: Final = {"drop": m.OFPMBT_DROP, "dscp_remark": m.OFPMBT_DSCP_REMARK}


def parse_group(text: str, command: int = g.OFPGC_ADD, ports: Mapping[str, int] | None = None) -> g.GroupMod:
    """The group mod that `text` describes; a first word such as "delete" takes `command`'s place.

    `ports` maps names to numbers. FlowSyntaxError names and points at the bad word.
    """
    first, _, rest = text.strip().partition(" ")
    if first in COMMANDS:
        return parse_group(rest, COMMANDS[first], ports)
    head, *parts = _split(text, "bucket=")
    found: dict[str, str] = {}
    fields: tuple[tuple[Field, int], ...] = ()
    for word in split_words(head[1]):
        if word.key == "fields":
            try:
                fields = _fields(word)
            except FlowSyntaxError as error:
                raise error.within(text, word.value_at) from None
        elif word.key in _WORDS:
            found[word.key] = word.value
        else:
            raise FlowSyntaxError(f"unknown keyword {word.key}", word.key, text, word.position)
    group_id = _group_id(found.get("group_id"), command, text)
    if command == g.OFPGC_DELETE:
        return g.GroupMod(command, 0, group_id)
    type_name = found.get("type", "all")
    if type_name not in TYPES:
        raise FlowSyntaxError(f"invalid group type {type_name}", type_name).within(text, 0)
    by_bucket = command in (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
    if not by_bucket and "type" not in found:
        raise FlowSyntaxError("must specify a type", text, text, 0)
    type = TYPES[type_name]
    place = found.get("command_bucket_id", "all")
    where = _PLACES[place] if place in _PLACES else u32(place)
    buckets = _buckets(parts, type, text, ports)
    selection = None
    if "selection_method" in found:
        param = u64(found.get("selection_method_param", "0"))
        selection = g.SelectionMethod(found["selection_method"], param, fields)
    if not by_bucket:
        try:
            check_selection(type, selection)
            check_group(type, buckets)
        except OfpError as error:
            raise FlowSyntaxError(f"invalid group ({error.name}: {error.detail})", text, text, 0) from error
    return g.GroupMod(command, type, group_id, buckets, where, selection)


def _split(text: str, word: str) -> list[tuple[int, str]]:
    """(position, text) of what comes before the first `word` and of what follows each."""
    pieces: list[tuple[int, str]] = []
    start = 0
    at = 0
    while True:
        at = text.find(word, at)
        if at < 0:
            pieces.append((start, text[start:]))
            return pieces
        if at == 0 or text[at - 1] in ", \t":
            pieces.append((start, text[start:at]))
            start = at + len(word)
        at += len(word)


def _group_id(text: str | None, command: int, whole: str) -> int:
    if text is None:
        if command == g.OFPGC_DELETE:
            return g.OFPG_ALL
        raise FlowSyntaxError("must specify a group_id", whole, whole, 0)
    if text == "all" and command == g.OFPGC_DELETE:
        return g.OFPG_ALL
    group_id = u32(text)
    if group_id > 0xFFFFFF00 and group_id != g.OFPG_ALL:
        raise FlowSyntaxError(f"invalid group id {group_id}", text).within(whole, 0)
    return group_id


def _fields(word: Word) -> tuple[tuple[Field, int], ...]:
    """The fields to hash: "fields=ip_dst" or "fields(eth_src,ip_dst=255.255.255.0)"."""
    words = split_words(word.value) if word.delimiter == "(" else [Word(word.value, "", 0, 0)]
    found = []
    for each in words:
        try:
            field = by_name(each.key)
        except KeyError:
            raise FlowSyntaxError(f"unknown field {each.key}", each.key) from None
        every = (1 << field.n_bits) - 1
        found.append((field, parse_value(field, each.value)[0] if each.value else every))
    return tuple(found)


def _buckets(parts: list[tuple[int, str]], type: int, whole: str,
             ports: Mapping[str, int] | None) -> tuple[g.Bucket, ...]:
    buckets: list[g.Bucket] = []
    for position, part in parts:
        try:
            buckets.append(_bucket(part, len(buckets), type, ports))
        except FlowSyntaxError as error:
            raise error.within(whole, position) from None
    ids = [bucket.bucket_id for bucket in buckets]
    for i, bucket_id in enumerate(ids):
        if bucket_id in ids[:i]:
            raise FlowSyntaxError("Duplicate bucket id", str(bucket_id)).within(whole, parts[i][0])
    return tuple(buckets)


def _bucket(text: str, number: int, type: int, ports: Mapping[str, int] | None) -> g.Bucket:
    bucket_id = number
    weight = 1 if type == g.OFPGT_SELECT else 0
    watch_port = OFPP_ANY
    watch_group = OFPG_ANY
    actions: list[str] = []
    for word in split_words(text):
        if word.key == "bucket_id":
            bucket_id = u32(word.value)
            if bucket_id > g.OFPG_BUCKET_MAX:
                raise FlowSyntaxError(f"invalid bucket_id id {bucket_id}", word.value)
        elif word.key == "weight":
            weight = bounded(word.value, 16, "weight")
        elif word.key == "watch_port":
            port = parse_port(word.value, ports)
            if port is None:
                raise FlowSyntaxError(f"{word.value}: invalid watch_port", word.value)
            watch_port = port
        elif word.key == "watch_group":
            watch_group = u32(word.value)
        elif word.key in ("action", "actions") and word.delimiter:
            actions.append(text[word.value_at :])
            break
        else:
            actions.append(text[word.position :])
            break
    return g.Bucket(parse_actions("".join(actions), ports), weight, watch_port, watch_group, bucket_id)


def parse_meter(text: str, command: int = m.OFPMC_ADD) -> m.MeterMod:
    """The meter mod that `text` describes. FlowSyntaxError names the bad word."""
    (_, head), *parts = _split(text, "bands=")
    meter_id = None
    flags = 0
    for word in split_words(head):
        if word.key == "meter":
            meter_id = _METERS[word.value] if word.value in _METERS else u32(word.value)
            if not meter_id:
                raise FlowSyntaxError("invalid value for meter", word.value, text, word.value_at)
        elif word.key in _METER_FLAGS and not word.delimiter:
            flags |= _METER_FLAGS[word.key]
        else:
            raise FlowSyntaxError(f"unknown keyword {word.key}", word.key, text, word.position)
    if meter_id is None:
        raise FlowSyntaxError("must specify 'meter'", text, text, 0)
    if command == m.OFPMC_DELETE:
        return m.MeterMod(command, m.MeterConfig(meter_id))
    if flags & (m.OFPMF_KBPS | m.OFPMF_PKTPS) in (0, m.OFPMF_KBPS | m.OFPMF_PKTPS):
        raise FlowSyntaxError("meter must specify either 'kbps' or 'pktps'", text, text, 0)
    pieces = _split(parts[0][1], "type=")[1:] if parts else []
    bands = tuple(_band(position, part, text) for position, part in pieces)
    if not bands:
        raise FlowSyntaxError("must specify at least one band", text, text, 0)
    return m.MeterMod(command, m.MeterConfig(meter_id, flags, bands))


def _band(position: int, text: str, whole: str) -> m.MeterBand:
    name, _, rest = text.partition(",")
    kind = _BANDS.get(name.strip())
    if kind is None:
        raise FlowSyntaxError(f"field type unknown value {name}", name).within(whole, position)
    found = {"rate": 0, "burst_size": 0, "prec_level": 0}
    for word in split_words(rest):
        if word.key not in found:
            raise FlowSyntaxError(f"unknown keyword {word.key}", word.key).within(whole, position)
        is_byte = word.key == "prec_level"
        found[word.key] = bounded(word.value, 8, word.key) if is_byte else u32(word.value)
    if not found["rate"]:
        raise FlowSyntaxError("band must have 'rate'", text).within(whole, position)
    return m.MeterBand(kind, **found)
