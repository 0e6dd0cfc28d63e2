"""Text to the larger Nicira extension actions: ct, nat, learn, bundle, multipath, sample..."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from vswitch.flow.syntax import FlowSyntaxError, parse_integer
from vswitch.flow.values import parse_ipv4, parse_ipv6, parse_value
from vswitch.openflow import actions as a
from vswitch.openflow.action_words import (
    ActionWord,
    bounded,
    split_action_words,
    table_number,
    u32,
    u64,
)
from vswitch.openflow.subfield import check_nicira_header, parse_subfield, parse_subfield_at

HASH_FIELDS: Final = (
    "eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3",
)  # fmt: skip
MULTIPATH_ALGORITHMS: Final = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
BUNDLE_ALGORITHMS: Final = ("active_backup", "hrw")
ALGS: Final = {"ftp": 21, "tftp": 69}
MAX_CONJUNCTION: Final = 64

PortOf = Callable[[str], int | None]
Nested = Callable[[str, int], a.Actions]


def parse_bundle(word: ActionWord, port_of: PortOf, load: bool) -> a.Action:
    """bundle(fields,basis,algorithm,ofport,members:...) and bundle_load(...,dst,members:...)."""
    n_parts = 5 if load else 4
    found = re.match(f"(?:[, ]*([^, ]+)[, ]){{{n_parts}}}(.+)", word.value)
    parts = re.findall("[^, ]+", word.value)[:n_parts]
    rest = found[2] if found is not None else ""
    if not rest:
        raise FlowSyntaxError(f"{word.value}: not enough arguments to bundle action", word.value)
    delimiter, _, members = rest.lstrip(":").partition(":")
    if delimiter not in ("members", "slaves"):
        message = f"missing member delimiter, expected `members', got `{delimiter}'"
        raise FlowSyntaxError(f"{word.value}: {message}", delimiter)
    ports = []
    for text in re.findall("[^][, ]+", members):
        port = port_of(text)
        if port is None:
            raise FlowSyntaxError(f"{text}: bad port number", text)
        ports.append(port)
    fields, basis, algorithm, kind = parts[:4]
    if fields not in HASH_FIELDS:
        raise FlowSyntaxError(f"{word.value}: unknown fields `{fields}'", fields)
    if algorithm not in BUNDLE_ALGORITHMS:
        raise FlowSyntaxError(f"{word.value}: unknown algorithm `{algorithm}'", algorithm)
    if kind != "ofport":
        raise FlowSyntaxError(f"{word.value}: unknown member_type `{kind}'", kind)
    dst = parse_subfield(parts[4]) if load else None
    if dst is not None:
        check_nicira_header(dst, parts[4], word.value)
    return a.Bundle(fields, bounded(basis, 16, "basis"), algorithm, tuple(ports), dst)


def parse_multipath(word: ActionWord) -> a.Action:
    """multipath(fields,basis,algorithm,n_links,arg,dst)."""
    parts = [part for part in re.split("[, ]+", word.value) if part]
    if len(parts) > 6:
        raise FlowSyntaxError(f"{word.value}: too many arguments to multipath action", word.value)
    if len(parts) < 6:
        raise FlowSyntaxError(f"{word.value}: not enough arguments to multipath action", word.value)
    fields, basis, algorithm, n_links, arg, dst = parts
    if fields not in HASH_FIELDS:
        raise FlowSyntaxError(f"{word.value}: unknown fields `{fields}'", fields)
    if algorithm not in MULTIPATH_ALGORITHMS:
        raise FlowSyntaxError(f"{word.value}: unknown algorithm `{algorithm}'", algorithm)
    links = parse_integer(n_links)
    if links is None or not 1 <= links <= 65536:
        raise FlowSyntaxError(f"{word.value}: n_links {n_links} is not in valid range 1 to 65536", n_links)
    sf = parse_subfield(dst)
    check_nicira_header(sf, dst, word.value)
    if sf.n_bits < 16 and links > 1 << sf.n_bits:
        raise FlowSyntaxError(
            f"{word.value}: {sf.n_bits}-bit destination field has {1 << sf.n_bits} possible values, "
            f"less than specified n_links {links}", dst
        )
    return a.Multipath(fields, bounded(basis, 16, "basis"), algorithm, links - 1, u32(arg), sf)


def parse_conjunction(word: ActionWord) -> a.Action:
    """conjunction(id,k/n)."""
    found = re.fullmatch(r"\s*(0[xX][0-9a-fA-F]+|\d+)\s*,\s*(\d+)\s*/\s*(\d+)\s*", word.value)
    if found is None:
        raise FlowSyntaxError('"conjunction" syntax is "conjunction(id,i/n)"', word.value)
    clause, n_clauses = int(found.group(2)), int(found.group(3))
    if not 2 <= n_clauses <= MAX_CONJUNCTION:
        limit = "at least 2" if n_clauses < 2 else f"at most {MAX_CONJUNCTION}"
        raise FlowSyntaxError(f"conjunction must have {limit} clauses", found.group(3))
    if clause < 1:
        raise FlowSyntaxError("clause index must be positive", found.group(2))
    if clause > n_clauses:
        raise FlowSyntaxError("clause index must be less than or equal to number of clauses", found.group(2))
    return a.Conjunction(u32(found.group(1)), clause - 1, n_clauses)


def parse_check_pkt_larger(word: ActionWord) -> a.Action:
    """check_pkt_larger(length)->dst."""
    length, _, target = (word.value, "", word.tail) if word.delimiter == "(" else word.value.partition("->")
    if not target:
        raise FlowSyntaxError(f"{word.value}: missing `->'", word.value)
    dst, end = parse_subfield_at(target)
    if end != len(target):
        raise FlowSyntaxError("unexpected input following field syntax", target[end:])
    if dst.n_bits != 1:
        raise FlowSyntaxError("Only 1-bit destination field is allowed", word.tail)
    return a.CheckPktLarger(bounded(length, 16, "check_pkt_larger"), dst)


def parse_fin_timeout(word: ActionWord) -> a.Action:
    """fin_timeout(idle_timeout=s,hard_timeout=s)."""
    idle = hard = 0
    for part in split_action_words(word.value):
        if part.key == "idle_timeout":
            idle = bounded(part.value, 16, part.key)
        elif part.key == "hard_timeout":
            hard = bounded(part.value, 16, part.key)
        else:
            raise FlowSyntaxError(f"invalid key '{part.key}' in 'fin_timeout' argument", part.key)
    return a.FinTimeout(idle, hard)


def parse_sample(word: ActionWord, port_of: PortOf) -> a.Action:
    """sample(probability=n,collector_set_id=n,...)."""
    numbers = {"probability": 0, "collector_set_id": 0, "obs_domain_id": 0, "obs_point_id": 0}
    sources: dict[str, a.MfSubfield | None] = {"obs_domain_id": None, "obs_point_id": None}
    sampling_port = 0xFFFF
    direction = ""
    for part in split_action_words(word.value):
        if part.key == "probability":
            numbers[part.key] = bounded(part.value, 16, part.key)
            if not numbers[part.key]:
                raise FlowSyntaxError(f"invalid probability value \"{part.value}\"", part.value)
        elif part.key in sources and parse_integer(part.value) is None:
            source = sources[part.key] = parse_subfield(part.value)
            if source.n_bits > 32:
                message = f"{part.key} has at most 32 bits, but {part.value} has {source.n_bits}"
                raise FlowSyntaxError(message, part.value)
        elif part.key in numbers:
            numbers[part.key] = u32(part.value)
        elif part.key == "sampling_port":
            port = port_of(part.value)
            if port is None:
                raise FlowSyntaxError(f"{part.value}: unknown port", part.value)
            sampling_port = port
        elif part.key in ("ingress", "egress"):
            direction = part.key
        else:
            raise FlowSyntaxError(f"invalid key \"{part.key}\" in \"sample\" argument", part.key)
    if not numbers["probability"]:
        raise FlowSyntaxError('non-zero "probability" must be specified on sample', word.value)
    return a.Sample(
        sampling_port=sampling_port, direction=direction, obs_domain_src=sources["obs_domain_id"],
        obs_point_src=sources["obs_point_id"], **numbers,
    )


# Connection tracking.


def parse_ct(word: ActionWord, tables: Mapping[str, int] | None, nested: Nested) -> a.Action:
    """ct(commit,force,table=n,zone=n,alg=...,nat(...),exec(...))."""
    commit = force = False
    zone, alg = 0, 0
    zone_src: a.MfSubfield | None = None
    recirc: int | None = None
    within: list[a.Action] = []
    for part in split_action_words(word.value, word.value_at):
        if part.key == "commit":
            commit = True
        elif part.key == "force":
            force = True
        elif part.key == "table":
            recirc = table_number(part.value, tables)
            if recirc is None:
                raise FlowSyntaxError(f"unknown table {part.value}", part.value)
            if recirc == 0xFF:
                raise FlowSyntaxError("invalid table 0xff", part.value)
        elif part.key == "zone":
            try:
                zone = bounded(part.value, 16, "zone")
            except FlowSyntaxError:
                # No zone's number: then it is the name of a field that has it.
                zone_src = parse_subfield(part.value)
                if zone_src.n_bits != 16:
                    raise FlowSyntaxError(
                        f"zone field must be a 16-bit field, but is {zone_src.n_bits} bits wide", part.value
                    ) from None
        elif part.key == "alg":
            if part.value not in ALGS:
                raise FlowSyntaxError(f'invalid conntrack helper "{part.value}"', part.value)
            alg = ALGS[part.value]
        elif part.key == "nat":
            within.append(parse_nat(part))
        elif part.key == "exec":
            within.extend(nested(part.value, part.value_at))
        else:
            raise FlowSyntaxError(f"invalid argument to \"ct\" action: `{part.key}'", part.key)
    if force and not commit:
        raise FlowSyntaxError('"force" flag requires "commit" flag.', "force")
    return a.Ct(commit, force, zone, zone_src, recirc, alg, tuple(within))


def parse_nat(word: ActionWord) -> a.Action:
    """nat, nat(src=addr-addr:port-port,random)..."""
    kind = ""
    family = 0
    low = high = None
    min_port = max_port = 0
    flags = {"persistent": False, "hash": False, "random": False}
    for part in split_action_words(word.value):
        if part.key in ("src", "dst"):
            if kind:
                raise FlowSyntaxError('May only specify one of "src" or "dst".', part.key)
            kind = part.key
            if part.value:
                family, low, high, min_port, max_port = _nat_range(part.value)
        elif part.key in flags:
            flags[part.key] = True
        else:
            raise FlowSyntaxError(f"invalid key \"{part.key}\" in \"nat\" argument", part.key)
    if not kind and any(flags.values()):
        raise FlowSyntaxError('Flags allowed only with "src" or "dst".', word.value)
    if flags["hash"] and flags["random"]:
        raise FlowSyntaxError('Both "hash" and "random" are not allowed.', "random")
    return a.Nat(kind, family, low, high, min_port, max_port, **flags)


_ADDRESS = re.compile(r"\[([0-9a-fA-F:.]+)\]|([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)|([0-9a-fA-F:]+(?:[0-9.]+)?)")


def _nat_range(text: str) -> tuple[int, int | None, int | None, int, int]:
    """(family, lowest and highest address, lowest and highest port)."""
    low = high = None
    family = 0
    rest = text
    found = _ADDRESS.match(rest)
    if found is not None and (not rest.startswith(":") or rest.startswith("::")):
        family, low = _address(found)
        rest = rest[found.end() :]
        if rest.startswith("-"):
            found = _ADDRESS.match(rest, 1)
            if found is None:
                raise FlowSyntaxError(f'invalid nat range "{text}"', text)
            _, high = _address(found)
            rest = rest[found.end() :]
            if low is not None and high is not None and high < low:
                raise FlowSyntaxError(f'invalid nat range "{text}"', text)
    if not rest:
        return family, low, high, 0, 0
    if rest.startswith(":") and low is None:
        raise FlowSyntaxError(f'nat to ports needs an address in front of them: "{text}"', text)
    if not rest.startswith(":"):
        place = len(text) - len(rest)
        raise FlowSyntaxError(f'garbage ({rest}) after nat range "{text}" (pos: {place})', rest)
    first, dash, last = rest[1:].partition("-")
    if not first or (dash and not last):
        raise FlowSyntaxError(f'invalid nat range "{text}"', text)
    min_port = bounded(first, 16, "port")
    max_port = bounded(last, 16, "port") if dash else 0
    if dash and max_port < min_port:
        raise FlowSyntaxError(f'invalid nat range "{text}"', text)
    return family, low, high, min_port, max_port


def _address(found: re.Match[str]) -> tuple[int, int]:
    text = found.group(1) or found.group(2) or found.group(3)
    value = parse_ipv4(text)
    if value is not None:
        return 4, value
    value = parse_ipv6(text)
    if value is None:
        raise FlowSyntaxError(f"invalid address {text}", text)
    return 6, value


# Learning.


def parse_learn(word: ActionWord, ports: Mapping[str, int] | None,
                tables: Mapping[str, int] | None) -> a.Action:
    """learn(...)."""
    numbers = {"idle_timeout": 0, "hard_timeout": 0, "fin_idle_timeout": 0, "fin_hard_timeout": 0,
               "priority": 32768}
    cookie = limit = 0
    table = 1
    flags = {"send_flow_rem": False, "delete_learned": False}
    result: a.MfSubfield | None = None
    specs: list[a.LearnSpec] = []
    for part in split_action_words(word.value):
        if part.key in numbers:
            numbers[part.key] = bounded(part.value, 16, part.key)
        elif part.key == "table":
            number = table_number(part.value, tables)
            if number is None:
                raise FlowSyntaxError(f"unknown table \"{part.value}\"", part.value)
            if number == 0xFF:
                raise FlowSyntaxError(f"{word.value}: table id 255 not valid for `learn' action", part.value)
            table = number
        elif part.key == "cookie":
            cookie = u64(part.value)
        elif part.key in flags:
            flags[part.key] = True
        elif part.key == "limit":
            limit = u32(part.value)
        elif part.key == "result_dst":
            result = parse_subfield(part.value)
            if not result.field.writable:
                raise FlowSyntaxError(f"{part.value} is read-only", part.value)
            if result.n_bits != 1:
                raise FlowSyntaxError("result_dst must be 1 bit", part.value)
        else:
            specs.extend(_learn_specs(part, ports, word.value))
    return a.Learn(
        tuple(specs), numbers["idle_timeout"], numbers["hard_timeout"], numbers["priority"], cookie, table,
        numbers["fin_idle_timeout"], numbers["fin_hard_timeout"], flags["send_flow_rem"],
        flags["delete_learned"], limit, result,
    )  # fmt: skip


def _learn_specs(part: ActionWord, ports: Mapping[str, int] | None, whole: str) -> list[a.LearnSpec]:
    """What one word of `whole`, the arguments of a learn action, says."""
    if part.key == "output":
        src = parse_subfield(part.value)
        return [a.LearnSpec("output", src.n_bits, src, 0, None)]
    if part.key == "load":
        source, arrow, target = part.value.partition("->")
        if not arrow:
            raise FlowSyntaxError(f"load: missing `->' in `{part.value}'", part.value)
        dst = parse_subfield(target)
        number = parse_integer(source)
        if number is not None:
            if number >> dst.n_bits:
                raise FlowSyntaxError(f"{part.value}: value does not fit into {dst.n_bits} bits", source)
            return [a.LearnSpec("load", dst.n_bits, None, number, dst)]
        src, _end = parse_subfield_at(part.value)
        if src.n_bits != dst.n_bits:
            message = f"source field is {src.n_bits} bits wide but destination is {dst.n_bits} bits wide"
            raise FlowSyntaxError(f"{part.value}: {message}", part.value)
        return [a.LearnSpec("load", src.n_bits, src, 0, dst)]
    return _learn_matches(part, ports, whole)


def _learn_matches(part: ActionWord, ports: Mapping[str, int] | None, text: str) -> list[a.LearnSpec]:
    try:
        dst, end = parse_subfield_at(part.key)
    except FlowSyntaxError:
        raise FlowSyntaxError(f"{text}: unknown keyword {part.key}", part.key) from None
    if end != len(part.key):
        raise FlowSyntaxError(f"{text}: unknown keyword {part.key}", part.key)
    check_nicira_header(dst, part.key, text)
    if not part.delimiter:
        return [a.LearnSpec("match", dst.n_bits, dst, 0, dst)]
    try:
        src = parse_subfield(part.value)
    except FlowSyntaxError as no_field:
        try:
            return [a.LearnSpec("match", dst.n_bits, None, _immediate(dst, part.value, text, ports), dst)]
        except FlowSyntaxError as error:
            raise FlowSyntaxError(
                f"{text}: {part.key} value {part.value} cannot be parsed as a subfield ({no_field.message}) "
                f"or an immediate value ({error.message})", part.value
            ) from None
    if src.n_bits != dst.n_bits:
        message = f"bit widths of {part.key} ({dst.n_bits}) and {part.value} ({src.n_bits}) differ"
        raise FlowSyntaxError(f"{text}: {message}", part.value)
    return [a.LearnSpec("match", dst.n_bits, src, 0, dst)]


def _immediate(dst: a.MfSubfield, value_text: str, text: str, ports: Mapping[str, int] | None) -> int:
    """The number that `dst` is to have, in the word `text`."""
    if dst.whole:
        value, mask = parse_value(dst.field, value_text, ports, optional=False)
        if mask != dst.field.ones:
            raise FlowSyntaxError(f"{value_text}: wildcards not allowed here", value_text)
        return value
    number = parse_integer(value_text)
    if number is None or number >> dst.n_bits:
        raise FlowSyntaxError(f"{text}: cannot parse integer value", value_text)
    return number


# Generic encapsulation.

ENCAPS: Final = {"nsh": 0x1894F, "ethernet": 0, "mpls": 0x18847, "mpls_mc": 0x18848}


def parse_encap(word: ActionWord) -> a.Action:
    """encap(nsh(md_type=1,tlv(class,type,value))), encap(ethernet)."""
    parts = split_action_words(word.value)
    if not parts:
        raise FlowSyntaxError("Missing encap hdr: ", word.key)
    if len(parts) != 1 or parts[0].key not in ENCAPS:
        name = parts[0].key if parts else ""
        raise FlowSyntaxError(f"Encap hdr not supported: {name or word.value}", name)
    head = parts[0]
    properties = []
    for part in split_action_words(head.value):
        if head.key != "nsh":
            raise FlowSyntaxError(f"Invalid property: {part.key}", part.key)
        if part.key == "md_type":
            md_type = bounded(part.value, 8, "md_type")
            if md_type not in (1, 2):
                raise FlowSyntaxError("invalid md_type", part.value)
            properties.append(a.EncapProperty("nsh", "md_type", md_type))
        elif part.key == "tlv":
            values = [v.strip() for v in part.value.split(",")]
            if len(values) != 3:
                raise FlowSyntaxError("Invalid TLV property", part.value)
            try:
                data = bytes.fromhex(values[2].removeprefix("0x"))
            except ValueError:
                raise FlowSyntaxError(f"Invalid hex digit in TLV: {values[2]}", values[2]) from None
            properties.append(a.EncapProperty(
                "nsh", "tlv", 0, bounded(values[0], 16, "tlv_class"), bounded(values[1], 8, "tlv_type"), data
            ))
        else:
            raise FlowSyntaxError(f"Invalid property: {part.key}", part.key)
    return a.Encap(ENCAPS[head.key], head.key, tuple(properties))


def parse_decap(word: ActionWord) -> a.Action:
    """decap(), decap(packet_type(ns=0,type=0))."""
    text = word.value.strip()
    if not text:
        return a.Decap()
    (first, *_) = split_action_words(text)
    if first.key != "packet_type":
        raise FlowSyntaxError(f"Invalid decap argument: {first.key}", first.key)
    words = split_action_words(first.value) if first.delimiter == "(" else []
    numbers = []
    for i, names in enumerate((("ns",), ("type", "id"))):
        if len(words) <= i or words[i].key not in names or not words[i].delimiter:
            raise FlowSyntaxError(f"Missing packet_type attribute {names[0]}", first.value)
        numbers.append(bounded(words[i].value, 16, names[0]))
    return a.Decap(numbers[0] << 16 | numbers[1])
