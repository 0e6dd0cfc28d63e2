"""`dpif/show-dp-features` and `dpif/set-dp-features`: what a datapath can do, and what of it is used.

What was found when the datapath was opened is kept; a test can take features away from
translation, and give them back, but not add any.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vswitch.base.unixctl import CommandError, Commands
from vswitch.dpif.probe import FEATURE_LABELS, Support
from vswitch.ofproto_dpif.facets.revalidate import RevReason

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges

NAMES: Final = {"masked_set": "masked_set_action"}
"""Attributes of `Support` that the command has another name for."""


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`."""
    found: dict[str, tuple[Support, Support]] = {}
    """Datapath name -> what is used of it, and a copy from before anything was changed."""

    def support(bridge: str) -> tuple[Support, Support]:
        """What is used, and what was found, of the datapath of `bridge`."""
        ofproto = ofprotos.all_ofproto_dpifs.get(bridge)
        if ofproto is None:
            raise CommandError("no such bridge")
        used = ofproto.backer.support
        known = found.get(ofproto.backer.name)
        if known is None or known[0] is not used:
            known = found[ofproto.backer.name] = (used, replace(used))
        return known

    def show(args: list[str]) -> str:
        return support(args[0])[1].show()

    def change(args: list[str]) -> str:
        used, boot = support(args[0])
        if len(args) == 1:
            return "".join(_line(attribute, label, used, boot) for attribute, label in FEATURE_LABELS)
        names = {NAMES.get(attribute, attribute): (attribute, label) for attribute, label in FEATURE_LABELS}
        if args[1] not in names:
            return "Unexpected support field"
        attribute, label = names[args[1]]
        if len(args) == 2:
            return _line(attribute, label, used, boot)
        value, wrong = _value(args[2], getattr(boot, attribute))
        if not wrong and value != getattr(used, attribute):
            setattr(used, attribute, value)
            backer = ofprotos.all_ofproto_dpifs[args[0]].backer
            backer.need(RevReason.RECONFIGURE)
            for bridge in ofprotos.all_ofproto_dpifs.values():
                bridge.datapath_changed()
        return wrong

    commands.register("dpif/show-dp-features", "bridge", 1, 1, show)
    commands.register("dpif/set-dp-features", "bridge", 1, 3, change)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(attribute: str, label: str, used: Support, boot: Support) -> str:
    name = NAMES.get(attribute, attribute)
    now, then = _text(getattr(used, attribute)), _text(getattr(boot, attribute))
    return f"{name} ({label}) : [run time]:{now}, [boot time]:{then}\n"


def _value(text: str, most: bool | int) -> tuple[bool | int, str]:
    """A value of a feature, a truth value or a number of at most what there is; and what is wrong with
    the text, which is a reply and no error, as in the real switch."""
    if isinstance(most, bool):
        if text not in ("true", "false"):
            return False, "Boolean value expected"
        if text == "true" and not most:
            return False, "Can not enable features not supported by the datapath"
        return text == "true", ""
    if not text.isdigit():
        return 0, "Integer number expected"
    if int(text) > most:
        return 0, "Can not set value beyond the datapath capability"
    return int(text), ""
