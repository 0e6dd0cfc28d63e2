"""`dpctl/ipf-...`: how a datapath puts fragments together before it tracks them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from vswitch.base.unixctl import ANY
from vswitch.dpif.dpctl import Datapaths, Entry, Options, failed
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifError, IpfFamily

FAMILIES: Final = {"v4": 4, "v6": 6}


def _do(
    datapaths: Datapaths, args: list[str], most: int, done: str, refusal: str, do: Callable[[Dpif], None]
) -> str:
    """`do` with the datapath that `args`, `most` of them, may name: the text `done`, or why not."""
    dpif = datapaths.open_optional(args, most)
    try:
        do(dpif)
    except DpifError as e:
        raise failed(refusal, e.errno or 0) from e
    finally:
        dpif.close()
    return f"{done} successful\n"


def _enable(enabled: bool) -> Callable[[Datapaths, Options, list[str]], str]:
    what = f"{'enabling' if enabled else 'disabling'} fragmentation reassembly"

    def command(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
        def do(dpif: Dpif) -> None:
            family = FAMILIES.get(args[-1])
            if family is None:
                raise failed("parameter missing: 'v4' for IPv4 or 'v6' for IPv6", errno.EINVAL)
            dpif.ipf_enable(family, enabled)

        return _do(datapaths, args, ANY, what, f"{what} failed", do)

    return command


def _set_min(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    def do(dpif: Dpif) -> None:
        family = FAMILIES.get(args[-2])
        if family is None:
            raise failed("parameter missing: v4 for IPv4 or v6 for IPv6", errno.EINVAL)
        if not args[-1].isdigit() or int(args[-1]) > 0xFFFFFFFF:
            raise failed("parameter missing for minimum fragment size", errno.EINVAL)
        dpif.ipf_set_min_size(family, int(args[-1]))

    return _do(datapaths, args, 3, "setting minimum fragment size",
               "requested minimum fragment size too small; see documentation", do)  # fmt: skip


def _set_max(datapaths: Datapaths, _options: Options, args: list[str]) -> str:
    def do(dpif: Dpif) -> None:
        if not args[-1].isdigit() or int(args[-1]) > 0xFFFFFFFF:
            raise failed("parameter missing for maximum fragments", errno.EINVAL)
        dpif.ipf_set_max_fragments(int(args[-1]))

    return _do(datapaths, args, 2, "setting maximum fragments", "setting maximum fragments failed", do)


def _counts(name: str, family: IpfFamily) -> list[str]:
    return [
        f"min {name} frag size: {family.min_size}",
        f"{name} frags accepted: {family.accepted}",
        f"{name} frags completed: {family.completed}",
        f"{name} frags expired: {family.expired}",
        f"{name} frags too small: {family.too_small}",
        f"{name} frags overlapped: {family.overlapped}",
        f"{name} frags purged: {family.purged}",
    ]


def _status(datapaths: Datapaths, options: Options, args: list[str]) -> str:
    dpif = datapaths.open_optional(args, 1)
    try:
        status = dpif.ipf_status()
    except DpifError as e:
        raise failed("ipf status could not be retrieved", e.errno or 0) from e
    finally:
        dpif.close()
    lines = [
        "Fragmentation Module Status",
        "---------------------------",
        f"v4 enabled: {int(status.v4.enabled)}",
        f"v6 enabled: {int(status.v6.enabled)}",
        f"max num frags (v4/v6): {status.max_fragments}",
        f"num frag: {status.held}",
        *_counts("v4", status.v4),
        *_counts("v6", status.v6),
    ]
    text = "".join(f"        {line}\n" for line in lines)
    if options.more:
        text += "\n        Fragment Lists:\n\n" + "".join(f"{packet}\n" for packet in status.packets)
    return text


ENTRIES: Final = (
    Entry("ipf-set-enabled", "[dp] v4|v6", 1, 2, _enable(True)),
    Entry("ipf-set-disabled", "[dp] v4|v6", 1, 2, _enable(False)),
    Entry("ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, _set_min),
    Entry("ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, _set_max),
    Entry("ipf-get-status", "[dp]", 0, 1, _status),
)
