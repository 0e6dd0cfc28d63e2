"""Rows of Mirror as the bridge's mirrors (ovs-vswitchd.conf.db(5), table Mirror)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import one
from vswitch.bridge.idl import Idl, Row
from vswitch.flow.match_text import parse_match
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.settings import MirrorSettings

log = Vlog("bridge")

WHOLE_PACKET: Final = 65535
"""The longest packet, which a mirror doesn't shorten."""


class BadMirror(Exception):
    """The row makes no mirror; the text says why."""


def output_ports(idl: Idl, bridge: Row) -> set[str]:
    """The ports that mirrors of `bridge` output to."""
    outputs = (idl.refs(row, "output_port") for row in idl.refs(bridge, "mirrors"))
    return {port.name for ports in outputs for port in ports}


def mirror_settings(idl: Idl, bridge: str, row: Row, has_port: Callable[[str], bool],
                    port_numbers: Mapping[str, int]) -> MirrorSettings:
    """What `row` asks for; a filter may name ports by `port_numbers`. BadMirror: it has no output that is
    there, or a filter that is none."""
    out_port = next((port.name for port in idl.refs(row, "output_port")), None)
    out_vlan = one(row, "output_vlan")
    if out_port is not None:
        if not has_port(out_port):
            raise BadMirror("outputs to port not on bridge")
        if out_vlan is not None:
            log.err("bridge %s: mirror %s specifies both output port and output vlan; "
                    "ignoring output vlan", bridge, row.name)  # fmt: skip
            out_vlan = None
    elif out_vlan is None:
        raise BadMirror("does not specify output; ignoring")

    def ports(column: str) -> tuple[object, ...]:
        found = []
        for port in idl.refs(row, column):
            if has_port(port.name):
                found.append(port.name)
            else:
                log.warn("bridge %s: mirror %s cannot match on nonexistent port %s", bridge, row.name,
                         port.name)  # fmt: skip
        return tuple(sorted(found))

    vlans = frozenset(row.select_vlan)
    text = one(row, "filter") or ""
    try:
        chosen = parse_match(text, port_numbers) if text else None
    except FlowSyntaxError as e:
        raise BadMirror(f"has an invalid filter: {e}") from e
    return MirrorSettings(
        name=row.name,
        srcs=() if row.select_all else ports("select_src_port"),
        dsts=() if row.select_all else ports("select_dst_port"),
        select_all=row.select_all,
        vlans=vlans or None,
        out=out_port,
        out_vlan=out_vlan,
        snaplen=_snaplen(row),
        filter=chosen,
    )


def _snaplen(row: Row) -> int:
    """Bytes of a packet that are copied, 0 for all; no packet is longer than 65,535."""
    snaplen: int = one(row, "snaplen") or 0
    return 0 if snaplen >= WHOLE_PACKET else snaplen


@final
class Mirrors:
    """The mirrors of one bridge: keys are the rows' UUIDs."""

    def __init__(self, ofproto: OfprotoDpif) -> None:
        self._ofproto = ofproto
        self._set: dict[Any, MirrorSettings] = {}
        self._bundles: frozenset[object] = frozenset()

    def configure(self, idl: Idl, bridge: Row, has_port: Callable[[str], bool]) -> None:
        """Make the mirrors of `bridge` those that its row names."""
        ofproto = self._ofproto
        wanted: dict[Any, MirrorSettings] = {}
        numbers = {name: port.ofp_port for name, port in ofproto.ports_by_name.items()}
        for row in sorted(idl.refs(bridge, "mirrors"), key=lambda row: row.name):
            try:
                wanted[row.uuid] = mirror_settings(idl, ofproto.name, row, has_port, numbers)
            except BadMirror as e:
                log.err("bridge %s: mirror %s %s", ofproto.name, row.name, e)
        for key in self._set.keys() - wanted.keys():
            ofproto.mirror_set(key, None)
        # A mirror of all ports has to be told of new ones.
        bundles = frozenset(ofproto.bundles)
        there = {mirror.aux for mirror in ofproto.mirrors if mirror is not None}
        made: dict[Any, MirrorSettings] = {}
        for key, settings in wanted.items():
            if self._set.get(key) != settings or bundles != self._bundles or key not in there:
                try:
                    ofproto.mirror_set(key, settings)
                except OSError as e:
                    log.err("%s", e.strerror or e)
                    continue
            made[key] = settings
        self._set = made
        self._bundles = bundles

    def statistics(self) -> dict[Any, dict[str, int]]:
        """UUID of a mirror's row -> what it has sent."""
        return {
            mirror.aux: {"tx_packets": mirror.packets, "tx_bytes": mirror.bytes}
            for mirror in self._ofproto.mirrors
            if mirror is not None
        }
