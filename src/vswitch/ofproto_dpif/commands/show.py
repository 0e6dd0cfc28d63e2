"""The texts behind `commands.py`: datapaths, bridges, MAC tables, facets as an operator reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.base.unixctl import Json
from vswitch.dpif.odp_text import format_actions, format_dpif_flow
from vswitch.dpif.ops import DpifFlow
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.match import Match
from vswitch.netdev.registry import kind
from vswitch.netdev.scope import Scope
from vswitch.ofproto_dpif.facets.facet import PATH_NAMES
from vswitch.ofproto_dpif.ports.ports import peer_name
from vswitch.ofproto_dpif.xlate.bridge import XPort

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.backer import Backer
    from vswitch.ofproto_dpif.facets.facet import Facet
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.ofproto_dpif.roles import BridgeRole


def dp_name(b: Backer) -> str:
    """The datapath's name with its type: "netdev@ovs-netdev"."""
    return f"{b.dpif.type}@{b.name}"


# dpif/show.


def backer(b: Backer) -> str:
    """`dpif/show`: hits and misses, then each bridge with its ports by name."""
    stats = b.dpif.stats()
    lines = [f"{dp_name(b)}: hit:{stats.n_hit} missed:{stats.n_missed}"]
    for name in sorted(b.ofprotos):
        lines.append(f"  {name}:")
        ports = b.ofprotos[name].ports_by_name
        lines.extend(f"    {_port(b.ofprotos[name], ports[port])}" for port in sorted(ports))
    return "".join(f"{line}\n" for line in lines)


def backer_json(b: Backer) -> Json:
    """`dpif/show` as a value: {"stats": ..., "bridges": {name: {"ports": {name: ...}}}}."""
    stats = b.dpif.stats()
    return {
        "stats": {"n_hit": stats.n_hit, "n_missed": stats.n_missed},
        "bridges": {
            name: {"ports": {port: _port_json(ofproto, it) for port, it in ofproto.ports_by_name.items()}}
            for name, ofproto in b.ofprotos.items()
        },
    }


def _port_json(ofproto: BridgeRole, port: XPort) -> Json:
    value = {
        "ofport": port.ofp_port,
        "port_no": None if port.odp_port == ODPP_NONE else port.odp_port,
        "type": _device_type(ofproto.backer.scope, port),
    }
    config = _config(ofproto, port)
    return {**value, "config": config} if config else value


def _port(ofproto: BridgeRole, port: XPort) -> str:
    odp = "none" if port.odp_port == ODPP_NONE else str(port.odp_port)
    text = f"{port.name} {port.ofp_port}/{odp}: ({_device_type(ofproto.backer.scope, port)}"
    config = _config(ofproto, port)
    if config:
        return f"{text}: " + ", ".join(f"{key}={config[key]}" for key in sorted(config)) + ")"
    return f"{text})"


def _config(ofproto: BridgeRole, port: XPort) -> dict[str, str]:
    """The options that the port has: a patch port's peer, a tunnel's, or its device's."""
    if kind(port.type).peered:
        return {"peer": peer_name(ofproto, port)}
    if port.tunnel is not None:
        return dict(port.tunnel.shown)
    netdev = ofproto.backer.scope.find(port.name)
    return netdev.config() if netdev is not None else {}


def _device_type(scope: Scope, port: XPort) -> str:
    netdev = scope.find(port.name)
    return netdev.type if netdev is not None else port.type


# Datapath flows.


def flow(b: Backer, f: DpifFlow, verbose: bool, names: bool, dpctl: bool) -> str:
    """A datapath flow, as `dpif/dump-flows` or (`dpctl`) `dpctl/dump-flows` prints it."""
    port_names = {port.port_no: port.name for port in b.dpif.port_dump()} if names else None
    text = format_dpif_flow(f, b.clock.now(), verbose=verbose, port_names=port_names, dpctl=dpctl)
    if verbose and not dpctl:
        # ovs-appctl separates the name by a space alone.
        text = text.replace(", ", " ", 1)
    return text


def channels(b: Backer) -> str:
    """`dpif/show-channels`: what came through each upcall channel, and what was lost there."""
    return b.dpif.show_channels()


# Facets.


def facets(ofproto: OfprotoDpif, now: int) -> str:
    """`dpif/show-facets`: each cached translation with its counters, tags and datapath flows."""
    lines = [f"{len(ofproto.facets)} facets, {len(ofproto.facets.groups)} masks"]
    for facet in ofproto.facets.all():
        lines.extend(_facet(facet, now))
    governor = ofproto.governor
    if governor is not None:
        lines.append(
            f"governor: {governor.total_setups} flows let through, {governor.total_refusals} refusals, "
            f"{governor.size} bytes of table"
        )
    return "".join(f"{line}\n" for line in lines)


def _facet(facet: Facet, now: int) -> list[str]:
    match = str(Match(facet.flow(), facet.group.mask))
    return [
        f"{match}, packets:{facet.n_packets}, bytes:{facet.n_bytes}, idle:{(now - facet.used) / 1000:.3f}s, "
        f"tags:{facet.tags:08x}, actions:{format_actions(facet.actions)}",
        *(
            f"  {PATH_NAMES[s.path]} from datapath port {s.odp_port}, packets:{s.dp_packets}, "
            f"bytes:{s.dp_bytes}, age:{(now - s.created) / 1000:.3f}s"
            for s in facet.subfacets
        ),
    ]


# upcall/show.


def upcalls(b: Backer) -> str:
    """`upcall/show`: how many flows there are and were, and what bounds them."""
    e = b.expiration
    return (
        f"{dp_name(b)}:\n"
        f"  flows         : (current {len(b.subfacets)}) (avg {round(e.avg_flows)}) (max {e.max_flows}) "
        f"(limit {b.flow_eviction_threshold})\n"
        f"  dump duration : {e.dump_duration}ms\n"
        f"  ufid enabled : {str(e.terse).lower()}\n"
        f"\n"
        f"  0: (keys {len(b.subfacets)})\n"
    )


def upcalls_json(b: Backer) -> Json:
    """`upcall/show` as a value."""
    e = b.expiration
    return {
        "flows": {
            "current": len(b.subfacets),
            "average": round(e.avg_flows),
            "maximum": e.max_flows,
            "limit": b.flow_eviction_threshold,
        },
        "dump-duration-ms": e.dump_duration,
        "ufid-enabled": b.expiration.terse,
        "revalidators": {"0": {"keys": len(b.subfacets)}},
    }
