"""Opening datapaths by name and type; the table of providers."""

from __future__ import annotations

import errno
import functools
import importlib
from typing import Final

from vswitch.base.clock import Clock
from vswitch.dpif.logged import LoggedDpif
from vswitch.dpif.provider import Dpif, DpifClass
from vswitch.dpif.types import DpifError
from vswitch.netdev.scope import PROCESS, Scope

PROVIDERS: Final = {
    "system": "vswitch.dpif.kernel.dpif_class",
    "ebpf": "vswitch.dpif.ebpf.dpif_class",
    "netdev": "vswitch.dpif.userspace.dpif_class",
}
"""Datapath type -> the module whose `CLASS` describes it, in the order in which a bridge that names no type
wants them. A module is imported when its type is first asked for: a switch in memory needs no kernel."""

_classes: dict[str, DpifClass] = {}
"""Those imported, and dummies."""
_disabled: set[str] = set()


def dpif_types() -> list[str]:
    """The datapath types that there are."""
    return sorted({*PROVIDERS, *_classes} - _disabled)


def dpif_class(type: str) -> DpifClass:
    """What there is to know of datapaths of `type`. DpifError(EAFNOSUPPORT): there is no such type."""
    if type in _disabled or (type not in PROVIDERS and type not in _classes):
        detail = f"no datapaths of type {type}, only {', '.join(dpif_types())}"
        raise DpifError(errno.EAFNOSUPPORT, "open", type, detail)
    found = _classes.get(type)
    if found is None:
        found = importlib.import_module(PROVIDERS[type]).CLASS
        assert isinstance(found, DpifClass)
        _classes[type] = found
    return found


def best_type() -> tuple[str, str]:
    """The first type that this machine can have, and why none of the earlier ones ("" if it is the first)."""
    why = ""
    for type in PROVIDERS:
        lacking = f"datapath type {type} is disabled" if type in _disabled else dpif_class(type).lacking()
        if not lacking:
            return type, why
        why = f"{why}; {lacking}" if why else lacking
    raise DpifError(errno.EAFNOSUPPORT, "choose", "a datapath type", why)


def enable_dummy(override: str = "") -> None:
    """Have datapaths of type "dummy", and with `override` "system" that one type, with "override" all
    types replaced by them; as `ovs-vswitchd --enable-dummy[=system|override]`."""
    from vswitch.dpif.userspace.dpif_class import DummyClass

    replaced = {"system": ["system"], "override": [*PROVIDERS]}.get(override, [])
    for type in ("dummy", *replaced):
        _classes[type] = DummyClass(type)
        _disabled.discard(type)


def disable(type: str) -> None:
    """Offer no datapaths of `type` any more."""
    _disabled.add(type)


def enumerate_datapaths(type: str, scope: Scope = PROCESS) -> list[str]:
    """The names of the datapaths of `type` that there are, whoever made them. DpifError."""
    return dpif_class(type).enumerate(scope)


def dpif_open(name: str, type: str, clock: Clock, scope: Scope = PROCESS) -> Dpif:
    """Open the datapath `name` of `type`, which must be there. DpifError: ENODEV; EAFNOSUPPORT
    for an unknown type; EOPNOTSUPP where this machine can't do that type, saying what can."""
    return _open(name, type, clock, False, scope)


def dpif_create_and_open(name: str, type: str, clock: Clock, scope: Scope = PROCESS) -> Dpif:
    """Open the datapath `name` of `type`, made if it is absent. DpifError, as `dpif_open`."""
    return _open(name, type, clock, True, scope)


def _open(name: str, type: str, clock: Clock, create: bool, scope: Scope) -> Dpif:
    try:
        found = dpif_class(type)
    except DpifError as e:
        raise DpifError(errno.EAFNOSUPPORT, "open", f"{type}@{name}", e.detail) from e
    if create and scope is PROCESS and type in PROVIDERS:
        _remove_left_behind()
    return LoggedDpif(found.open(name, clock, create, scope), clock)


@functools.cache
def _remove_left_behind() -> None:
    """Once a process: programs and devices of one that was killed are in the way of every type."""
    importlib.import_module("vswitch.dpif.ebpf.left_behind").remove_left_behind()
