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
from vswitch.flow.syntax import FlowSyntaxError, Word, parse_integer, split_words
from vswitch.flow.values import parse_port, parse_value
from vswitch.openflow.action_text import parse_plain_actions
from vswitch.openflow.action_words import bounded, u32, u64
from vswitch.openflow.constants import OFPG_ANY, OFPG_MAX, OFPM_MAX, OFPP_ANY
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
    "mod": g.OFPGC_MODIFY,
    "add_or_mod": g.OFPGC_ADD_OR_MOD,
    "delete": g.OFPGC_DELETE,
    "del": g.OFPGC_DELETE,
    "insert_bucket": g.OFPGC_INSERT_BUCKET,
    "remove_bucket": g.OFPGC_REMOVE_BUCKET,
}
_BY_BUCKET: Final = (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
_PLACES: Final = {
    "first": g.OFPG_BUCKET_FIRST, "last": g.OFPG_BUCKET_LAST, "all": g.OFPG_BUCKET_ALL,
}  # fmt: skip
_WHOLE: Final = (g.OFPGC_ADD, g.OFPGC_MODIFY, g.OFPGC_ADD_OR_MOD)
_WORDS: Final[dict[str, tuple[tuple[int, ...], str]]] = {
    "group_id": (tuple(COMMANDS.values()), ""),
    "type": (_WHOLE, "type is not needed"),
    "selection_method": (_WHOLE, "selection method is not needed"),
    "selection_method_param": (_WHOLE, "selection method param is not needed"),
    "fields": (_WHOLE, "fields are not needed"),
    "command_bucket_id": (_BY_BUCKET, "command bucket id is not needed"),
    "bucket": ((*_WHOLE, g.OFPGC_INSERT_BUCKET), "bucket is not needed"),
}
"""The words of a group: the commands that take them, and what is said with another one. A word that a
deletion can't heed is an error, else "type=select" would delete every group."""
_METERS: Final = {"all": m.OFPM_ALL, "controller": m.OFPM_CONTROLLER, "slowpath": m.OFPM_SLOWPATH}
_METER_FLAGS: Final = {
    "kbps": m.OFPMF_KBPS, "pktps": m.OFPMF_PKTPS, "burst": m.OFPMF_BURST, "stats": m.OFPMF_STATS,
}  # fmt: skip
METHOD_BYTES: Final = 15
"""How long the name of a selection method may be (nicira-ext.h of Open vSwitch: 16 with its end)."""
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
        _check_word(word, command, text)
        if word.key == "fields":
            try:
                fields = _fields(word)
            except FlowSyntaxError as error:
                raise error.within(text, word.value_at) from None
        else:
            found[word.key] = word.value
    if "bucket" in found and not parts:
        raise FlowSyntaxError("unknown keyword bucket", "bucket").within(text, 0)
    if parts and command not in _WORDS["bucket"][0]:
        raise FlowSyntaxError(_WORDS["bucket"][1], "bucket", text, parts[0][0])
    place = found.get("command_bucket_id")
    where = g.OFPG_BUCKET_ALL if place is None else _PLACES[place] if place in _PLACES else u32(place)
    if command == g.OFPGC_INSERT_BUCKET and where == g.OFPG_BUCKET_ALL and place is not None:
        raise FlowSyntaxError(f"command_bucket_id={place} is not permitted", place).within(text, 0)
    group_id = _group_id(found.get("group_id"), command, text)
    if command == g.OFPGC_INSERT_BUCKET and place is None:
        raise FlowSyntaxError("must specify a command bucket id", text, text, 0)
    if command == g.OFPGC_DELETE:
        return g.GroupMod(command, 0, group_id)
    type_name = found.get("type", "all")
    if type_name not in TYPES:
        raise FlowSyntaxError(f"invalid group type {type_name}", type_name).within(text, 0)
    by_bucket = command in _BY_BUCKET
    if not by_bucket and "type" not in found:
        raise FlowSyntaxError("must specify a type", text, text, 0)
    type = TYPES[type_name]
    _check_method(found, bool(fields), text)
    buckets = _buckets(parts, type, text, ports)
    _check_buckets(type, buckets, command, text)
    _check_ids(buckets, parts, text)
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


def _check_word(word: Word, command: int, text: str) -> None:
    """FlowSyntaxError: a group has no such word, or `command` no use for it."""
    takers, refusal = _WORDS.get(word.key, ((), f"unknown keyword {word.key}"))
    if command not in takers:
        raise FlowSyntaxError(refusal, word.key, text, word.position)


def _check_method(found: Mapping[str, str], fields: bool, text: str) -> None:
    """FlowSyntaxError: the words on how a select group chooses don't go together."""
    method = found.get("selection_method", "")
    if len(method) > METHOD_BYTES:
        message = f"selection method is longer than {METHOD_BYTES} bytes long"
        raise FlowSyntaxError(message, method).within(text, 0)
    if "selection_method_param" in found and not method:
        message = 'selection_method_param is only allowed with "selection_method"'
        raise FlowSyntaxError(message, "selection_method_param").within(text, 0)
    if fields and method != "hash":
        message = 'fields may only be specified with "selection_method=hash"'
        raise FlowSyntaxError(message, "fields").within(text, 0)


def _check_buckets(type: int, buckets: tuple[g.Bucket, ...], command: int, text: str) -> None:
    """FlowSyntaxError: the buckets are not those of a group of `type`."""
    if type == g.OFPGT_INDIRECT and len(buckets) > 1:
        raise FlowSyntaxError("Indirect groups can have at most one bucket.", text, text, 0)
    for bucket in buckets:
        if bucket.weight and type != g.OFPGT_SELECT and command not in _BY_BUCKET:
            raise FlowSyntaxError("Only select groups can have bucket weights.", "weight").within(text, 0)
        if type == g.OFPGT_FF and bucket.watch_port == OFPP_ANY and bucket.watch_group == OFPG_ANY:
            message = "fast failover bucket requires watch_port or watch_group"
            raise FlowSyntaxError(message, "bucket").within(text, 0)


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
    if text == "all":
        return g.OFPG_ALL
    group_id = u32(text)
    if group_id > OFPG_MAX and group_id != g.OFPG_ALL:
        raise FlowSyntaxError(f"invalid group id {group_id}", text).within(whole, 0)
    return group_id


def _fields(word: Word) -> tuple[tuple[Field, int], ...]:
    """The fields to hash: "fields=ip_dst" or "fields(eth_src,ip_dst=255.255.255.0)"."""
    words = split_words(word.value) if word.delimiter == "(" else [Word(word.value, "", 0, 0)]
    found: dict[Field, int] = {}
    for each in words:
        try:
            field = by_name(each.key)
        except KeyError:
            raise FlowSyntaxError(f": unknown field {each.key}", each.key) from None
        if field in found:
            raise FlowSyntaxError(f"{each.key}: duplicate field", each.key)
        found[field] = _bits(field, each.value) if each.value else (1 << field.n_bits) - 1
    return tuple(found.items())


def _bits(field: Field, text: str) -> int:
    """Those of a field's bits that are hashed. FlowSyntaxError."""
    if not field.maskable and parse_integer(text) != (1 << 8 * field.n_bytes) - 1:
        raise FlowSyntaxError(f"{text}: invalid mask for field {field.name}", text)
    value, mask = parse_value(field, text)
    if mask != field.ones:
        raise FlowSyntaxError(f"{text}: wildcards not allowed here", text)
    if not value:
        raise FlowSyntaxError(": values are wildcards here and must not be all-zeros", text)
    return value if field.maskable else (1 << field.n_bits) - 1


def _buckets(parts: list[tuple[int, str]], type: int, whole: str,
             ports: Mapping[str, int] | None) -> tuple[g.Bucket, ...]:
    buckets: list[g.Bucket] = []
    for position, part in parts:
        try:
            buckets.append(_bucket(part, len(buckets), type, ports))
        except FlowSyntaxError as error:
            raise error.within(whole, position) from None
    return tuple(buckets)


def _check_ids(buckets: tuple[g.Bucket, ...], parts: list[tuple[int, str]], whole: str) -> None:
    """FlowSyntaxError: two buckets have the same number."""
    seen: set[int] = set()
    for bucket, (position, _) in zip(buckets, parts, strict=True):
        if bucket.bucket_id in seen:
            raise FlowSyntaxError("Duplicate bucket id", str(bucket.bucket_id)).within(whole, position)
        seen.add(bucket.bucket_id)


def _bucket(text: str, number: int, type: int, ports: Mapping[str, int] | None) -> g.Bucket:
    bucket_id = number
    weight = 1 if type == g.OFPGT_SELECT else 0
    watch_port = OFPP_ANY
    watch_group = OFPG_ANY
    actions: list[str] = []
    if not text.strip(", \t"):
        raise FlowSyntaxError("bucket must specify actions", text)
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
    return g.Bucket(parse_plain_actions("".join(actions), ports), weight, watch_port, watch_group, bucket_id)


def parse_meter(text: str, command: int = m.OFPMC_ADD) -> m.MeterMod:
    """The meter mod that `text` describes; a deletion takes no word but "meter". FlowSyntaxError names the
    bad word."""
    (_, head), *parts = _split(text, "bands=")
    if not parts:
        (_, head), *parts = _split(text, "band=")
    deletes = command == m.OFPMC_DELETE
    if not deletes and not parts:
        raise FlowSyntaxError("must specify bands", text, text, 0)
    meter_id = None
    flags = 0
    for word in split_words(head):
        if word.key == "meter" and word.delimiter:
            meter_id = _METERS[word.value] if word.value in _METERS else u32(word.value)
            if not meter_id or (meter_id > OFPM_MAX and word.value not in _METERS):
                raise FlowSyntaxError("invalid value for meter", word.value, text, word.value_at)
        elif word.key in _METER_FLAGS and not word.delimiter and not deletes:
            flags |= _METER_FLAGS[word.key]
        elif not word.delimiter:
            raise FlowSyntaxError(f"field {word.key} missing value", word.key, text, word.position)
        else:
            raise FlowSyntaxError(f"unknown keyword {word.key}", word.key, text, word.position)
    if deletes and parts:
        raise FlowSyntaxError("unknown keyword bands", "bands", text, parts[0][0] - len("bands="))
    if meter_id is None:
        raise FlowSyntaxError("must specify 'meter'", text, text, 0)
    if deletes:
        return m.MeterMod(command, m.MeterConfig(meter_id))
    if not flags & (m.OFPMF_KBPS | m.OFPMF_PKTPS):
        raise FlowSyntaxError("meter must specify either 'kbps' or 'pktps'", text, text, 0)
    start, bands_text = parts[0]
    if not bands_text.strip(", \t"):
        raise FlowSyntaxError("meter must have bands", text, text, start)
    (_, before), *pieces = _split(bands_text, "type=")
    if before.strip(", \t"):
        raise FlowSyntaxError("band must start with the 'type' keyword", before, text, start)
    bands = tuple(_band(start + position, part, text, flags) for position, part in pieces)
    return m.MeterMod(command, m.MeterConfig(meter_id, flags, bands))


def _band(position: int, text: str, whole: str, flags: int) -> m.MeterBand:
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
    bursts = bool(flags & m.OFPMF_BURST)
    remarks = kind == m.OFPMBT_DSCP_REMARK
    for wrong, message in (
        (remarks and not found["prec_level"], "'dscp_remark' band must have 'prec_level'"),
        (not remarks and found["prec_level"], "Only 'dscp_remark' band may have 'prec_level'"),
        (not found["rate"], "band must have 'rate'"),
        (bursts and not found["burst_size"], "band must have 'burst_size' when 'burst' flag is set"),
        (found["burst_size"] and not bursts, "band may have 'burst_size' only when 'burst' flag is set"),
    ):
        if wrong:
            raise FlowSyntaxError(message, text).within(whole, position)
    return m.MeterBand(kind, **found)
