"""What is said of a translation when it is over: all of it, as `ofproto/trace` prints it, and what the log
hears of one that went wrong. All texts are Open vSwitch's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.dpif.odp_text import format_actions
from vswitch.flow.flow import Flow
from vswitch.flow.layout import VLAN_CFI, W_TUN_METADATA_PRESENT
from vswitch.flow.text import format_flow, format_megaflow
from vswitch.ofproto_dpif.xlate.types import SLOW_EXPLANATIONS, XLATE_ERRORS, XlateIn, XlateOut
from vswitch.openflow.constants import OFPP_UNSET

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.xlate.trace import Trace

log: Final = Vlog("ofproto_dpif_xlate")
_warning_rl: Final = RateLimit(60, 15)
_remark_rl: Final = RateLimit(60, 15)


@final
class _Shown:
    """A flow as text, made when it is printed."""

    def __init__(self, xin: XlateIn) -> None:
        self._xin: XlateIn = xin

    def __str__(self) -> str:
        xin = self._xin
        return format_flow(xin.flow, None, xin.bridge.tlv.options)


def log_remarks(xin: XlateIn, out: XlateOut) -> None:
    """Log what the translation of `xin` met: errors, and what an operator may wonder about."""
    if out.warnings:
        for text in out.warnings:
            log.warn_rl(_warning_rl, xin.now, "%s while processing %s", text, _Shown(xin))
    if out.remarks:
        for text in out.remarks:
            log.info_rl(_remark_rl, xin.now, "%s while processing %s", text, _Shown(xin))


def explain(xin: XlateIn, out: XlateOut, trace: Trace, flow: Flow,
            odp_names: dict[int, str] | None = None, extracted: bool = False) -> str:
    """The translation of `xin` to `out`, of which `trace` has the steps, in full. `flow` is what came: its
    port may be the datapath's. `odp_names` are names for datapath ports. Of a flow that is `extracted` from a
    packet without tunnel options none are told, whatever actions set."""
    names = trace.ports
    options = xin.bridge.tlv.options
    if extracted and not flow.words[W_TUN_METADATA_PRESENT]:
        options = ()
    before = xin.flow.copy()
    before.actset_output = OFPP_UNSET
    final_flow = "unchanged" if out.flow == before else format_flow(out.flow, names, options)
    odp_actions = format_actions(out.actions, odp_names) if out.actions else "drop"
    mask = shown_mask(flow, out.wc, out.cut_short)
    text = (
        f"Flow: {format_flow(flow, names, options)}\n{trace}\nFinal flow: {final_flow}\n"
        f"Megaflow: {format_megaflow(flow, mask, names, options)}\nDatapath actions: {odp_actions}"
    )
    if out.error:
        text += f"\nTranslation failed ({XLATE_ERRORS[out.error]}), packet is dropped.\n"
    elif out.slow:
        text += "\nThis flow is handled by the userspace slow path because it:"
        for bit, why in SLOW_EXPLANATIONS.items():
            if out.slow & bit:
                text += f"\n  - {why}."
    return text


def shown_mask(flow: Flow, wc: Flow, failed: bool = False) -> Flow:
    """`wc` without VLAN tags that the packet does not have, or whose presence is all that counts:
    every datapath flow says that anyway. Of a translation that `failed` the real switch shows what
    was looked at before such bits were settled."""
    mask = wc.copy()
    tagged = flow.vlan_tci & VLAN_CFI
    if not failed and (not flow.vlan_tci or (not tagged and mask.vlan_tci == VLAN_CFI)):
        mask.vlan_tci = 0
    if (not failed and not flow.vlan_tci1) or mask.vlan_tci1 == VLAN_CFI:
        mask.vlan_tci1 = 0
    return mask
