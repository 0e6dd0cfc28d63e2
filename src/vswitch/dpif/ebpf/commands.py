"""`ebpf/show`, `ebpf/dump`, `ebpf/why`: what is in the kernel, the programs as text, why a flow isn't there.

`vswitch ebpf show|dump|why` ask for them.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from vswitch.base.clock import Clock
from vswitch.base.unixctl import CommandError, Commands, Json, JsonHandler
from vswitch.dpif.dpctl import port_names, port_numbers
from vswitch.dpif.odp_text import OdpSyntaxError, format_dpif_flow, format_key, parse_key, parse_ufid
from vswitch.dpif.ops import DpifFlow
from vswitch.netdev.scope import PROCESS, Scope

if TYPE_CHECKING:
    from vswitch.dpif.ebpf.offload import Offload

TYPE: Final = "ebpf"
NONE: Final = "there is no datapath of type ebpf"


def register(commands: Commands, clock: Clock, scope: Scope = PROCESS) -> None:
    """Register them; modules that need BPF are imported when they are called."""
    _add(commands, "show", "", (0, 0), partial(_show, clock, scope), _shown)
    _add(commands, "dump", "[classify|again|tunnel|actions]", (0, 1), partial(_dump, clock, scope), _dumped)
    _add(commands, "why", "flow|ufid", (1, 1), partial(_why, clock, scope), _explained)


def _add(
    commands: Commands,
    name: str,
    usage: str,
    n_args: tuple[int, int],
    ask: JsonHandler,
    text: Callable[[Json], str],
) -> None:
    commands.register(f"ebpf/{name}", usage, *n_args, lambda args: text(ask(args)), ask)


@contextmanager
def _each(clock: Clock, scope: Scope) -> Iterator[list]:  # type: ignore[type-arg]
    """The datapaths of the type, open. CommandError: there is none."""
    from vswitch.dpif.ebpf.provider import EbpfDpif
    from vswitch.dpif.userspace.datapath import enumerate_names

    names = enumerate_names(scope, TYPE)
    if not names:
        raise CommandError(NONE)
    found = [EbpfDpif(name, clock, create=False, scope=scope) for name in names]
    try:
        yield found
    finally:
        for dpif in found:
            dpif.close()


def _show(clock: Clock, scope: Scope, _args: list[str]) -> dict[str, Any]:
    """Datapath -> packets by path, flows, programs, masks, ports."""
    with _each(clock, scope) as datapaths:
        return {f"{TYPE}@{dpif.name}": _seen(dpif.offload) for dpif in datapaths}


def _seen(offload: Offload) -> dict[str, Any]:
    offload.sync_all()
    programs = offload.programs
    return {
        "packets": offload.counters(),
        "flows": {"kernel": len(offload.flows), "userspace_only": len(offload.reasons)},
        "reasons": dict(Tally(offload.reasons.values()).most_common()),
        "programs": {
            p.name: p.n_insns for p in (programs.classify, programs.again, programs.interpreter)
        },
        "load_ms": programs.load_ms,
        "masks": [
            {
                "number": one.number,
                "flows": one.count,
                "hits": one.hits,
                "eth_type": one.eth_type if one.eth_type >= 0 else None,
                "recirculated": one.again,
            }
            for one in sorted(offload.tables.subtables.values(), key=lambda s: -s.hits)
        ],
        "ports": [
            {
                "number": number,
                "name": port.port.name,
                "place": "egress" if port.local else "ingress",
                "ifindex": port.ifindex,
                **dict(zip(("sent_up", "bytes_waiting", "lost"), offload.up.account(number), strict=True)),
            }
            for number, port in sorted(offload.by_number.items())
        ],
    }


def _shown(told: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, seen in told.items():
        lines.append(f"{name}:")
        lines.append("  packets: " + ", ".join(f"{k}:{n}" for k, n in seen["packets"].items()))
        flows = seen["flows"]
        lines.append(f"  flows: kernel:{flows['kernel']} userspace only:{flows['userspace_only']}")
        lines += [f"    {n}: {why}" for why, n in seen["reasons"].items()]
        sizes = ", ".join(f"{program} {n} instructions" for program, n in seen["programs"].items())
        lines.append(f"  programs: {sizes}; loading took {seen['load_ms']:.1f} ms")
        lines.append(f"  masks: {len(seen['masks'])}")
        for one in seen["masks"]:
            kind = "any eth_type" if one["eth_type"] is None else f"eth_type 0x{one['eth_type']:04x}"
            again = ", recirculated" if one["recirculated"] else ""
            lines.append(f"    {one['number']}: {one['flows']} flows, {one['hits']} hits, {kind}{again}")
        for port in seen["ports"]:
            where = f"at the {port['place']} of interface {port['ifindex']}"
            lines.append(f"  port {port['number']} ({port['name']}): {where}; sent up {port['sent_up']}, "
                         f"{port['bytes_waiting']} bytes waiting, lost {port['lost']}")  # fmt: skip
    return "\n".join(lines) + "\n"


def _dump(clock: Clock, scope: Scope, args: list[str]) -> list[dict[str, str]]:
    """The program asked for of each datapath, as text."""
    from vswitch.dpif.ebpf.interpret import interpreter
    from vswitch.dpif.ebpf.programs import Group, classifier

    wanted = args[0] if args else "classify"
    groups = {"classify": Group.PORT, "again": Group.AGAIN, "tunnel": Group.TUNNEL}
    if wanted not in (*groups, "actions"):
        raise CommandError(f"{wanted}: the programs are classify, again, tunnel and actions")
    found = []
    with _each(clock, scope) as datapaths:
        for dpif in datapaths:
            t, up, loops = dpif.offload.tables, dpif.offload.up, dpif.offload.programs.loops
            if wanted == "actions":
                asm = interpreter(t, up, loops)
            else:
                asm = classifier(t, up, groups[wanted], loops)
            name = f"{TYPE}@{dpif.name}"
            found.append({"datapath": name, "program": wanted, "listing": asm.listing()})
    return found


def _dumped(told: list[dict[str, str]]) -> str:
    return "".join(f"{one['datapath']}: {one['program']}\n{one['listing']}" for one in told)


def _why(clock: Clock, scope: Scope, args: list[str]) -> list[dict[str, Any]]:
    """The flows that are meant, each with whether it is in the kernel, and the reason if not."""
    found = []
    with _each(clock, scope) as datapaths:
        for dpif in datapaths:
            names = port_names(dpif)
            for flow in dpif.flow_dump():
                if _is_meant(flow, args[0], port_numbers(dpif)):
                    text = format_dpif_flow(flow, clock.now(), port_names=names)
                    reason = "" if flow.offloaded == "yes" else _reason(flow)
                    note = "" if reason else _note(flow)
                    found.append({"flow": text, "kernel": not reason, "reason": reason, "note": note})
    if not found:
        raise CommandError(f"no datapath flow is like {args[0]}")
    return found


def _explained(told: list[dict[str, Any]]) -> str:
    return "".join(
        f"{one['flow']}\n  "
        + ("in the kernel" if one["kernel"] else f"in userspace only: {one['reason']}")
        + (f", but {one['note']}\n" if one["note"] else "\n")
        for one in told
    )


def _note(flow: DpifFlow) -> str:
    """Which packets of a flow in the kernel are userspace's even so; "" if none is."""
    from vswitch.dpif.ebpf.walk import labels

    if labels(flow.actions):
        return "packets of many segments are cut up in userspace, for no program can mark labelled ones"
    return ""


def _reason(flow: DpifFlow) -> str:
    return flow.offloaded.removeprefix("no (").removesuffix(")")


def _is_meant(flow: DpifFlow, text: str, ports: dict[str, int]) -> bool:
    """Whether `text` is the flow's UFID, or a key whose packets belong to the flow. CommandError."""
    try:
        ufid = parse_ufid(text)
        if ufid:
            return flow.ufid == ufid
        key, _mask = parse_key(text, ports)
    except (OdpSyntaxError, ValueError) as e:
        raise CommandError(f"{text}: {e}") from e
    return bool(key.masked(flow.mask) == flow.key) or format_key(flow.key, flow.mask) == text
