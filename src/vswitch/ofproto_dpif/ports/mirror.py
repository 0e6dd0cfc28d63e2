"""Port mirroring: which packets get a copy, and where the copies go.

A mirror selects by ingress bundle, egress bundle and VLAN, and outputs to one bundle or, for
RSPAN, to all bundles of one VLAN. Up to `MAX_MIRRORS` exist a switch; a set of mirrors is a
bit map of their indices. Each bundle carries the maps of the mirrors that select it
(`src_mirrors`, `dst_mirrors`) and that output to it (`mirror_out`), computed here whenever
the configuration changes, so that a packet costs two integer tests.
"""

from __future__ import annotations

from collections.abc import Iterable

from vswitch.ofproto_dpif.xlate.bridge import XBundle, XMirror


def has_mirrors(mirrors: list[XMirror | None]) -> bool:
    """Whether any mirror is configured."""
    return any(m is not None for m in mirrors)


def refresh(mirrors: list[XMirror | None], bundles: Iterable[XBundle]) -> None:
    """Recompute every bundle's mirror maps and each mirror's `dup_mirrors`."""
    present = [m for m in mirrors if m is not None]
    for m in present:
        m.dup_mirrors = 0
        for other in present:
            if m.out is other.out and m.out_vlan == other.out_vlan:
                m.dup_mirrors |= other.bit
    for bundle in bundles:
        bundle.src_mirrors = 0
        bundle.dst_mirrors = 0
        bundle.mirror_out = 0
        for m in present:
            if bundle in m.srcs:
                bundle.src_mirrors |= m.bit
            if bundle in m.dsts:
                bundle.dst_mirrors |= m.bit
            if m.out is bundle:
                bundle.mirror_out |= m.bit
