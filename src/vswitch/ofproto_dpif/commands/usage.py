"""How much there is of everything: the numbers of `memory/show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges


def usage(ofprotos: Bridges) -> dict[str, int]:
    """Objects by kind, over all bridges and datapaths; nothing while there is no bridge."""
    if not ofprotos.all_ofproto_dpifs:
        return {}
    found = {"ports": 0, "rules": 0, "facets": 0, "subfacets": 0}
    for ofproto in ofprotos.all_ofproto_dpifs.values():
        found["ports"] += len(ofproto.ports)
        found["rules"] += sum(len(table) for table in ofproto.tables)
    for backer in ofprotos.backers.values():
        found["facets"] += len(backer.facets())
        found["subfacets"] += len(backer.subfacets)
        for name, n in backer.dpif.cached().items():
            found[name] = found.get(name, 0) + n
    return found
