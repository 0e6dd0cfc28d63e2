"""Putting facets into the datapath and taking them out, with every counter brought home.

All changes to datapath flows pass here. A deleted or changed flow's last counters come back
with the operation itself, so that packets forwarded between the last dump and the deletion are
counted, once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.respite import Respite
from vswitch.base.vlog import Vlog
from vswitch.dpif.actions import Actions, Userspace
from vswitch.dpif.cookie import SlowPathCookie
from vswitch.dpif.key_mask import expressible, is_plain, n_labels
from vswitch.dpif.ops import FlowDel, FlowPut, Op
from vswitch.dpif.types import PutFlags
from vswitch.flow.flow import Flow
from vswitch.flow.layout import S_VLAN_TCI1, VLAN_CFI, W_TUN_METADATA_PRESENT, W_VLAN_TCI1
from vswitch.ofproto.geneve import mask_to_datapath
from vswitch.ofproto_dpif.facets.facet import (
    SF_FAST_PATH,
    SF_NOT_INSTALLED,
    SF_SLOW_PATH,
    Facet,
    FacetGroup,
    FacetTable,
    Subfacet,
    pack_flow,
)
from vswitch.ofproto_dpif.xlate.meter import to_slow_path
from vswitch.ofproto_dpif.xlate.netflow import end_flows

if TYPE_CHECKING:
    from vswitch.base.clock import Clock
    from vswitch.dpif.provider import Dpif
    from vswitch.ofproto_dpif.xlate.bridge import XBridge, XDatapath, XPort
    from vswitch.ofproto_dpif.xlate.types import XlateOut

log = Vlog("ofproto_dpif")

subfacet_create = coverage.counter("subfacet_create")
subfacet_destroy = coverage.counter("subfacet_destroy")
subfacet_install_fail = coverage.counter("subfacet_install_fail")
subfacet_reinstall = coverage.counter("subfacet_reinstall")
facet_create = coverage.counter("facet_create")
facet_destroy = coverage.counter("facet_destroy")
upcall_no_port = coverage.counter("drop_upcall_unknown_port")

ALL_TAGS: Final = 0xFFFFFFFF
"""The tags of a translation that failed: whatever changes, it is looked at again, as in Open vSwitch."""
SECOND_TAG: Final = VLAN_CFI << S_VLAN_TCI1
OVERLAP: Final = (errno.EEXIST, errno.ENOENT)
"""What putting a flow fails with, here and in the kernel, when another of its batch has its packets too."""
DELETED_AT_ONCE: Final = 64
"""Datapath flows that are deleted in one go."""
REINSTALL_MS: Final = 100
"""A miss so long after its flow was put means that the datapath has lost the flow."""


def datapath_mask(facet: Facet, key: Flow) -> Flow:
    """The mask of a datapath flow for `facet` whose key is `key`."""
    group = facet.group
    mask = mask_to_datapath(facet.bridge.tlv, key, group.mask)
    if mask is not group.mask or not is_plain(key):
        return expressible(mask, key)
    plain = group.plain_mask
    if plain is None:
        plain = group.plain_mask = expressible(mask, key)
    return plain


def _as_facet(key: Flow) -> bool:
    """Whether a datapath flow of `key` is, the port's number aside, the flow that a facet is made from."""
    words = key.words
    return words[W_TUN_METADATA_PRESENT] == 0 and words[W_VLAN_TCI1] & SECOND_TAG == 0


def _identity(key: Flow, mask: Flow) -> bytes:
    """What tells a datapath's flow of `key` and `mask` from the other flows of its facet."""
    return bytes((n_labels(key),)) + pack_flow(key.masked(mask))


def _find(facet: Facet, identity: bytes) -> Subfacet | None:
    """The datapath flow of `facet` of that `identity`."""
    by_key = facet.by_key
    if by_key is None:
        by_key = facet.by_key = {}
        for subfacet in facet.subfacets:
            key = subfacet.key()
            by_key[_identity(key, datapath_mask(facet, key))] = subfacet
    return by_key.get(identity)


@final
class Installer:
    """The datapath flows of one datapath: `name`, as logs call it. The counterpart of `facets/facet.py`
    that does something."""

    def __init__(
        self, name: str, dpif: Dpif, dp: XDatapath, clock: Clock, odp_to_ofport: dict[int, XPort],
        respite: Respite,
    ) -> None:
        self.name: str = name
        self.dpif: Dpif = dpif
        self.dp: XDatapath = dp
        self.clock: Clock = clock
        self.respite: Respite = respite
        self.odp_to_ofport: dict[int, XPort] = odp_to_ofport
        """Datapath port -> the bridge's port that it is now; the backer's."""
        self.subfacets: dict[bytes, Subfacet] = {}
        """UFID -> every flow that we put into the datapath."""
        self.unknown_port_rl: RateLimit = RateLimit(60, 5)
        self._ufid_prefix: bytes = os.urandom(8)
        self._n_ufids: int = 0
        self.drop_keys: dict[int, FlowPut] = {}
        """Datapath port that no bridge has -> the flow that drops what comes from there."""

    def _slow_actions(self, bridge: XBridge, reason: int, odp_port: int) -> Actions:
        """What the datapath gets for a flow that is handled here: send its packets up."""
        up = Userspace(self.dp.port_pid(odp_port), SlowPathCookie(reason=reason).pack())
        return (to_slow_path(bridge, up),)

    # Making facets and flows.

    def _new_ufid(self) -> bytes:
        self._n_ufids += 1
        return self._ufid_prefix + self._n_ufids.to_bytes(8, "big")

    def make_facet(self, bridge: XBridge, group: FacetGroup, key: bytes, flow: Flow,
                   out: XlateOut, now: int) -> Facet:
        """A facet of `bridge` for `flow` (OpenFlow port numbers), translated to `out`."""
        facet = Facet(bridge, group, key, pack_flow(flow), now)
        self.fill(facet, out, now)
        group.table.insert(facet)
        facet_create.inc()
        return facet

    def fill(self, facet: Facet, out: XlateOut, now: int) -> None:
        """Make `out` the translation of `facet`, taking over its recirculation references."""
        old = facet.recircs
        if facet.bridge.netflow is not None:
            end_flows(facet.effects, out.effects)
        facet.actions = out.actions
        facet.slow = out.slow
        facet.tags = ALL_TAGS if out.error else out.tags
        facet.as_came = out.as_came and not out.error
        facet.effects = out.effects
        facet.recircs = out.recircs
        for recirc_id in old:
            self.dp.recirc_ids.unref(recirc_id, now)

    def drop_out(self, out: XlateOut, now: int) -> None:
        """Give back what `out` holds, as no facet keeps it."""
        for recirc_id in out.recircs:
            self.dp.recirc_ids.unref(recirc_id, now)

    def part(self, facet: Facet, subfacet: Subfacet, in_port: int, now: int) -> Facet | None:
        """Give `subfacet`, a datapath flow of `facet` that comes in at `in_port` (OpenFlow port number), a
        facet of its own: of the packets that it matches, translated as it is. None, and nothing changed, if
        there is one."""
        flow = subfacet.key()
        if subfacet.prefix or not _as_facet(flow):
            return None
        group = facet.group.table.group(datapath_mask(facet, flow))
        flow.in_port = in_port
        key = group.key_of(flow)
        if key in group.facets:
            return None
        alone = Facet(facet.bridge, group, key, pack_flow(flow), now)
        alone.created = subfacet.created
        alone.used = subfacet.used
        alone.actions = facet.actions
        alone.slow = facet.slow
        alone.tags = facet.tags
        alone.as_came = facet.as_came
        alone.effects = facet.effects
        alone.recircs = list(facet.recircs)
        for recirc_id in alone.recircs:
            self.dp.recirc_ids.ref(recirc_id)
        facet.subfacets.remove(subfacet)
        facet.by_key = None
        subfacet.facet = alone
        subfacet.own_key = b""
        alone.subfacets.append(subfacet)
        group.table.insert(alone)
        facet_create.inc()
        return alone

    def put(self, facet: Facet, key: Flow, odp_port: int, prefix: Actions, now: int) -> FlowPut | None:
        """The operation that has the datapath handle `key` (datapath port numbers) as `facet`
        says, None if it does already. Give it to `put_done` after carrying it out.

        `prefix`: what makes of the packet what the facet takes it for (VLAN splinters).
        """
        mask = datapath_mask(facet, key)
        further = bool(facet.subfacets)
        identity = b""
        if further:
            identity = _identity(key, mask)
            found = _find(facet, identity)
            if found is not None:
                if now - found.put_at < REINSTALL_MS:
                    return None
                subfacet_reinstall.inc()
                found.put_at = now
                return FlowPut(key, mask, found.actions, found.ufid, want_stats=True)
        subfacet = Subfacet(facet, odp_port, self._new_ufid(), now)
        if facet.slow:
            subfacet.path = SF_SLOW_PATH
            subfacet.actions = self._slow_actions(facet.bridge, facet.slow, odp_port)
        else:
            subfacet.path = SF_FAST_PATH
            subfacet.actions = (*prefix, *facet.actions) if prefix else facet.actions
        if prefix or further or not _as_facet(key):
            subfacet.prefix = prefix
            subfacet.own_key = pack_flow(key)
        facet.subfacets.append(subfacet)
        by_key = facet.by_key
        if by_key is not None:
            by_key[identity if further else _identity(key, mask)] = subfacet
        self.subfacets[subfacet.ufid] = subfacet
        subfacet_create.inc()
        return FlowPut(key, mask, subfacet.actions, subfacet.ufid)

    def put_done(self, op: FlowPut, now: int) -> None:
        """Take note of how `put`'s operation went."""
        subfacet = self.subfacets.get(op.ufid)
        if subfacet is None:
            return
        if op.error:
            if op.error not in OVERLAP:
                subfacet_install_fail.inc()
            subfacet.path = SF_NOT_INSTALLED
            self._forget(subfacet)
            facet = subfacet.facet
            if not facet.subfacets:
                self._remove_facet(facet, now)
        elif op.stats is not None:
            subfacet.update_stats(op.stats, now)

    def modify(self, subfacet: Subfacet, out: XlateOut) -> FlowPut:
        """The operation that has the datapath do what `out` says for `subfacet`, and gives the
        counters of what it did before. Give it to `modify_done` before its facet is filled."""
        if out.slow:
            actions = self._slow_actions(subfacet.facet.bridge, out.slow, subfacet.odp_port)
        else:
            actions = (*subfacet.prefix, *out.actions)
        key = subfacet.key()
        return FlowPut(key, datapath_mask(subfacet.facet, key), actions, subfacet.ufid,
                       PutFlags.MODIFY, want_stats=True)

    def modify_done(self, subfacet: Subfacet, op: FlowPut, slow: int, now: int) -> None:
        """Take note of how `modify`'s operation went."""
        if op.error:
            subfacet_install_fail.inc()
            self.uninstall([subfacet], now)
            return
        if op.stats is not None:
            subfacet.update_stats(op.stats, now)
        subfacet.path = SF_SLOW_PATH if slow else SF_FAST_PATH
        subfacet.actions = op.actions
        subfacet.put_at = now

    # Taking them out.

    def _forget(self, subfacet: Subfacet) -> None:
        self.subfacets.pop(subfacet.ufid, None)
        facet = subfacet.facet
        if subfacet in facet.subfacets:
            facet.subfacets.remove(subfacet)
            if facet.by_key is not None:
                key = subfacet.key()
                facet.by_key.pop(_identity(key, datapath_mask(facet, key)), None)
        subfacet_destroy.inc()

    def _remove_facet(self, facet: Facet, now: int) -> None:
        facet.group.table.remove(facet)
        if facet.bridge.netflow is not None:
            end_flows(facet.effects)
        for recirc_id in facet.recircs:
            self.dp.recirc_ids.unref(recirc_id, now)
        facet.recircs = []
        facet_destroy.inc()

    def uninstall(self, subfacets: Sequence[Subfacet], now: int) -> None:
        """Delete the datapath flows of `subfacets`, count their last packets, and let go of the
        facets that have none left. Many are deleted a few at a time, and others forwarded meanwhile."""
        if len(subfacets) <= DELETED_AT_ONCE:
            self._uninstall(subfacets, now)
            return
        for first in range(0, len(subfacets), DELETED_AT_ONCE):
            self._uninstall(subfacets[first : first + DELETED_AT_ONCE], now)
            self.respite.give()

    def _uninstall(self, subfacets: Sequence[Subfacet], now: int) -> None:
        ops: list[Op] = []
        deleted: list[tuple[Subfacet, FlowDel]] = []
        for subfacet in subfacets:
            if subfacet.path != SF_NOT_INSTALLED:
                op = FlowDel(subfacet.key(), subfacet.ufid)
                ops.append(op)
                deleted.append((subfacet, op))
        if ops:
            self.dpif.operate(ops)
        for subfacet, op in deleted:
            if op.stats is not None:
                subfacet.update_stats(op.stats, now)
            elif op.error and op.error != errno.ENOENT:
                log.warn("%s: cannot delete a flow (%s)", self.name, os.strerror(op.error))
            subfacet.path = SF_NOT_INSTALLED
        for subfacet in subfacets:
            self._forget(subfacet)
            if not subfacet.facet.subfacets:
                self._remove_facet(subfacet.facet, now)

    def remove_facets(self, facets: Iterable[Facet], now: int) -> None:
        """Remove `facets` with their datapath flows."""
        subfacets: list[Subfacet] = []
        for facet in facets:
            if facet.subfacets:
                subfacets.extend(facet.subfacets)
            else:
                self._remove_facet(facet, now)
        self.uninstall(subfacets, now)

    def lost(self, subfacet: Subfacet, now: int) -> None:
        """The datapath has no flow for `subfacet` any more: somebody else deleted it."""
        subfacet.path = SF_NOT_INSTALLED
        self._forget(subfacet)
        if not subfacet.facet.subfacets:
            self._remove_facet(subfacet.facet, now)

    def flush(self, facets: FacetTable, now: int) -> None:
        """Remove all facets of a bridge."""
        self.remove_facets(facets.all(), now)

    # Packets from ports that no bridge has.

    def drop_key(self, key: Flow, odp_port: int) -> FlowPut | None:
        """The operation that has the datapath drop everything from `odp_port`; None if it is there."""
        upcall_no_port.inc()
        if odp_port in self.drop_keys:
            return None
        log.info_rl(self.unknown_port_rl, self.clock.now(),
                    "received packet on unassociated datapath port %d", odp_port)
        mask = Flow()
        mask.in_port = 0xFFFF
        mask.recirc_id = 0xFFFFFFFF
        op = FlowPut(key, mask, (), self._new_ufid())
        self.drop_keys[odp_port] = op
        return op

    def is_drop_key(self, ufid: bytes) -> bool:
        """Whether `ufid` is one of `drop_key`'s flows."""
        return any(op.ufid == ufid for op in self.drop_keys.values())

    def forget_drop_keys(self) -> None:
        """Delete the flows of `drop_key`, as the ports of the datapath changed."""
        if self.drop_keys:
            ops: list[Op] = [FlowDel(op.key, op.ufid) for op in self.drop_keys.values()]
            self.drop_keys.clear()
            self.dpif.operate(ops)
