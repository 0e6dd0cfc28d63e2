"""Output to a bundle: which of its ports, and the VLAN tags that the packet leaves with."""

from __future__ import annotations

from mypy_extensions import i64

from vswitch.flow.layout import W_VLAN_TCI, W_VLAN_TPID
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate.bonds import choose_member
from vswitch.ofproto_dpif.xlate.bridge import XBundle, XPort
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.vlan import Xvlan, output_translate, put_tags


def choose_port(ctx: Ctx, bundle: XBundle, vid: int) -> XPort | None:
    """The port of `bundle` that the packet leaves through with VLAN `vid`; None while it has none."""
    bond = bundle.bond
    if bond is not None:
        return choose_member(ctx, bond, vid)
    return bundle.ports[0] if bundle.ports else None


def output_bundle(ctx: Ctx, bundle: XBundle, xvlan: Xvlan) -> None:
    """Send the packet out of `bundle` with the tags that it wants to see."""
    out = output_translate(bundle, xvlan)
    port = choose_port(ctx, bundle, int(out.vid))
    if port is None:
        return
    words = ctx.flow.words
    old_tci: i64 = words[W_VLAN_TCI] & 0xFFFF
    old_tags: i64 = words[W_VLAN_TPID]
    put_tags(ctx, out, bundle.priority_tags)
    bond = bundle.bond
    xlate_output.output(ctx, port.ofp_port, 0, False, bond if bond is not None and bond.balanced else None)
    words = ctx.flow.words
    words[W_VLAN_TCI] = (words[W_VLAN_TCI] & ~0xFFFF) | old_tci
    words[W_VLAN_TPID] = old_tags
