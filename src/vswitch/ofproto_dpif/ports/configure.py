"""Configuring what NORMAL forwards between: bundles and mirrors."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ports import mirror as mirrors
from vswitch.ofproto_dpif.settings import BundleSettings, MirrorSettings, SettingsError
from vswitch.ofproto_dpif.xlate.bridge import (
    MAX_MIRRORS,
    PRIORITY_TAGS,
    VLAN_ACCESS,
    VLAN_DOT1Q_TUNNEL,
    VLAN_MODES,
    VLAN_TRUNK,
    XBundle,
    XMirror,
    XPort,
)
from vswitch.openflow.constants import OFPPC_NO_FLOOD

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole


def bundle_set(ofproto: BridgeRole, aux: object, settings: BundleSettings | None) -> None:
    """Make, change or (None) remove the bundle named by `aux`.

    A port whose device is gone joins when it returns; while none is there, there is no bundle.
    SettingsError(EINVAL): an unknown port, mode or VLAN; nothing changed then.
    """
    bundle = ofproto.bundles.get(aux)
    if settings is None:
        ofproto.bundle_settings.pop(aux, None)
        if bundle is not None:
            _destroy(ofproto, bundle)
            _changed(ofproto, ())
        return
    ports = _ports(ofproto, settings)
    vlan_mode, vlan, trunks = _vlans(ofproto, settings)
    if settings.priority_tags not in PRIORITY_TAGS:
        raise _invalid(ofproto, settings, f"priority_tags {settings.priority_tags!r}")
    ofproto.bundle_settings[aux] = settings
    if not ports:
        return
    if bundle is None:
        bundle = XBundle(settings.name)
        bundle.aux = aux
        ofproto.bundles[aux] = bundle
    for port in list(bundle.ports):
        if port not in ports:
            port.bundle = None
    for port in ports:
        other = port.bundle
        if other is not None and other is not bundle:
            other.ports.remove(port)
            _heed_trees(other)
            if not other.ports:
                _destroy(ofproto, other)
        port.bundle = bundle
    moved = (bundle.vlan_mode, bundle.vlan, bundle.trunks) != (vlan_mode, vlan, trunks)
    bundle.name = settings.name
    bundle.ports = ports
    bundle.vlan_mode = vlan_mode
    bundle.vlan = vlan
    bundle.trunks = trunks
    bundle.cvlans = settings.cvlans
    bundle.qinq_ethtype = settings.qinq_ethtype
    bundle.priority_tags = PRIORITY_TAGS[settings.priority_tags]
    bundle.protected = settings.protected
    table = ofproto.mcast_snooping
    if table is not None and table.set_flood(bundle, settings.mcast_flood, settings.mcast_flood_reports):
        ofproto.multicast_changed()
    if moved:
        forget_learned(ofproto, bundle)
    _changed(ofproto, (bundle,))


def _invalid(ofproto: BridgeRole, settings: BundleSettings, what: str) -> SettingsError:
    return SettingsError(errno.EINVAL, f"{ofproto.name}: port {settings.name}: invalid {what}")


def _ports(ofproto: BridgeRole, settings: BundleSettings) -> list[XPort]:
    ports: list[XPort] = []
    for name in settings.ports:
        port = ofproto.ports_by_name.get(name)
        if port is not None:
            ports.append(port)
        elif name not in ofproto.port_specs:
            raise _invalid(ofproto, settings, f"interface {name}")
    return ports


def _vlans(ofproto: BridgeRole, settings: BundleSettings) -> tuple[int, int, frozenset[int] | None]:
    """(mode, VLAN or -1, trunks) that `settings` mean."""
    default = "trunk" if settings.vlan is None else "access"
    mode = VLAN_MODES.get(settings.vlan_mode or default)
    if mode is None:
        raise _invalid(ofproto, settings, f"vlan_mode {settings.vlan_mode!r}")
    vlan = settings.vlan
    if vlan is not None and not 0 <= vlan <= 4095:
        raise _invalid(ofproto, settings, f"VLAN {vlan}")
    if settings.trunks is not None and any(not 0 <= vid <= 4095 for vid in settings.trunks):
        raise _invalid(ofproto, settings, "trunks")
    if mode == VLAN_TRUNK:
        return mode, -1, settings.trunks
    if mode in (VLAN_ACCESS, VLAN_DOT1Q_TUNNEL):
        return mode, vlan or 0, None
    native = vlan or 0
    trunks = settings.trunks
    # VLAN 0 is no native VLAN that would have to be trunked.
    return mode, native, trunks | {native} if trunks is not None and native else trunks


def _destroy(ofproto: BridgeRole, bundle: XBundle) -> None:
    for mirror in ofproto.mirrors:
        if mirror is None:
            continue
        mirror.srcs.discard(bundle)
        mirror.dsts.discard(bundle)
        if mirror.out is bundle:
            ofproto.mirrors[mirror.idx] = None
    for port in bundle.ports:
        if port.bundle is bundle:
            port.bundle = None
    bundle.ports = []
    # Who was there may be anywhere from now on, also to the bridges behind patch ports.
    pairs = ofproto.mac_learning.on_port(bundle)
    forget_learned(ofproto, bundle)
    for other in ofproto.backer.ofprotos.values():
        for mac, vlan in pairs:
            other.revalidate_set.update(other.mac_learning.forget_pair(mac, vlan))
    if ofproto.mcast_snooping is not None:
        ofproto.mcast_snooping.set_flood(bundle, False, False)
    del ofproto.bundles[bundle.aux]


def forget_learned(ofproto: BridgeRole, bundle: XBundle) -> None:
    """Forget addresses and multicast groups that were learned at `bundle`."""
    ofproto.revalidate_set.update(ofproto.mac_learning.forget_port(bundle, ofproto.now()))
    table = ofproto.mcast_snooping
    if table is not None and table.forget_port(bundle):
        ofproto.multicast_changed()


def move_learned(ofproto: BridgeRole, old: XPort, new: XPort) -> None:
    """What was learned at `old` is reached by `new` from now on."""
    if old.bundle is not None and new.bundle is not None:
        ofproto.revalidate_set.update(ofproto.mac_learning.move_port(old.bundle, new.bundle, ofproto.now()))


def _changed(ofproto: BridgeRole, bundles: Iterable[XBundle] | None = None) -> None:
    """Recompute what depends on the set of bundles and mirrors. `bundles`: only their ports changed."""
    of_all = ofproto.bundles.values()
    new = of_all if bundles is None else bundles
    for bundle in new:
        _heed_trees(bundle)
    bonded = of_all if ofproto.has_bonded_bundles else new
    ofproto.has_bonded_bundles = any(bundle.bond is not None for bundle in bonded)
    mirrored = ofproto.has_mirrors
    ofproto.has_mirrors = mirrors.has_mirrors(ofproto.mirrors)
    mirrors.refresh(ofproto.mirrors, of_all if mirrored or ofproto.has_mirrors else new)
    ofproto.backer.need(RevReason.RECONFIGURE)


def port_config_changed(ofproto: BridgeRole) -> None:
    """A port's OFPPC_* bits changed: whether its bundle floods may have, too."""
    _changed(ofproto)


def tree_changed(ofproto: BridgeRole) -> None:
    """A spanning tree has let a port forward, or no longer."""
    for bundle in ofproto.bundles.values():
        _heed_trees(bundle)
    ofproto.backer.need(RevReason.STP)


def _heed_trees(bundle: XBundle) -> None:
    """Have `bundle` know what spanning trees and settings let its ports do."""
    bundle.learns = all(port.learns for port in bundle.ports)
    bundle.floodable = all(port.forwards and not port.config & OFPPC_NO_FLOOD for port in bundle.ports)


def port_removed(ofproto: BridgeRole, port: XPort) -> None:
    """`port` goes away: its bundle loses it, and goes with its last port."""
    bundle = port.bundle
    if bundle is None:
        return
    bundle.ports.remove(port)
    port.bundle = None
    if not bundle.ports:
        _destroy(ofproto, bundle)
    _changed(ofproto, (bundle,))


def port_added(ofproto: BridgeRole, name: str) -> None:
    """Port `name` is (back) there: it joins the bundle that was set for it."""
    for aux, settings in list(ofproto.bundle_settings.items()):
        if name in settings.ports:
            bundle_set(ofproto, aux, settings)
            return


def mirror_set(ofproto: BridgeRole, aux: object, settings: MirrorSettings | None) -> None:
    """Make, change or (None) remove the mirror named by `aux`.

    SettingsError: EINVAL for an unknown bundle or no output, EFBIG beyond MAX_MIRRORS.
    """
    mirror = next((m for m in ofproto.mirrors if m is not None and m.aux == aux), None)
    if settings is None:
        if mirror is not None:
            ofproto.mirrors[mirror.idx] = None
            _changed(ofproto)
        return
    srcs = {_bundle(ofproto, settings, key) for key in settings.srcs}
    dsts = {_bundle(ofproto, settings, key) for key in settings.dsts}
    if settings.select_all:
        srcs = dsts = set(ofproto.bundles.values())
    out = _bundle(ofproto, settings, settings.out) if settings.out is not None else None
    if out is None and settings.out_vlan is None:
        raise SettingsError(errno.EINVAL, f"{ofproto.name}: mirror {settings.name}: no output")
    if mirror is None:
        free = [i for i in range(MAX_MIRRORS) if ofproto.mirrors[i] is None]
        if not free:
            raise SettingsError(errno.EFBIG, f"{ofproto.name}: maximum of {MAX_MIRRORS} mirrors reached, "
                                f"cannot create {settings.name}")
        mirror = XMirror(free[0], settings.name)
        mirror.aux = aux
        ofproto.mirrors[mirror.idx] = mirror
    mirror.name = settings.name
    mirror.srcs = set(srcs)
    mirror.dsts = set(dsts)
    mirror.vlans = settings.vlans
    mirror.out = out
    mirror.out_vlan = settings.out_vlan if out is None and settings.out_vlan is not None else -1
    mirror.snaplen = settings.snaplen
    mirror.filter = settings.filter
    _changed(ofproto)


def _bundle(ofproto: BridgeRole, settings: MirrorSettings, key: object) -> XBundle:
    bundle = ofproto.bundles.get(key)
    if bundle is None:
        raise SettingsError(errno.EINVAL, f"{ofproto.name}: mirror {settings.name}: no port {key}")
    return bundle
