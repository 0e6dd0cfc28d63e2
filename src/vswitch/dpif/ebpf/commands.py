"""`ebpf/show`, `ebpf/dump`, `ebpf/why`: what is in the kernel, the programs as text, why a flow isn't there.

`vswitch ebpf show|dump|why` ask for them.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from vswitch.base.clock import Clock
from vswitch.base.unixctl import CommandError, Commands
from vswitch.dpif.dpctl import port_names, port_numbers
from vswitch.dpif.odp_text import OdpSyntaxError, format_dpif_flow, format_key, parse_key, parse_ufid
from vswitch.dpif.types import DpifFlow
from vswitch.netdev.scope import PROCESS, Scope

TYPE: Final = "ebpf"
NONE: Final = "there is no datapath of type ebpf"


def register(commands: Commands, clock: Clock, scope: Scope = PROCESS) -> None:
    """Register them; modules that need BPF are imported when they are called."""
    for name, usage, least, most, run in (
        ("show", "", 0, 0, _show),
        ("dump", "[classify|again|actions]", 0, 1, _dump),
        ("why", "flow|ufid", 1, 1, _why),
    ):
        commands.register(f"ebpf/{name}", usage, least, most, _handler(run, clock, scope))


def _handler(
    run: Callable[[Clock, Scope, list[str]], str], clock: Clock, scope: Scope
) -> Callable[[list[str]], str]:
    return lambda args: run(clock, scope, args)


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


def _show(clock: Clock, scope: Scope, _args: list[str]) -> str:
    lines: list[str] = []
    with _each(clock, scope) as datapaths:
        for dpif in datapaths:
            offload = dpif.offload
            offload.sync_all()
            lines.append(f"{TYPE}@{dpif.name}:")
            lines.append("  packets: " + ", ".join(f"{k}:{n}" for k, n in offload.counters().items()))
            n_user = len(offload.reasons)
            lines.append(f"  flows: kernel:{len(offload.flows)} userspace only:{n_user}")
            for why, n in Tally(offload.reasons.values()).most_common():
                lines.append(f"    {n}: {why}")
            programs = offload.programs
            loaded = (programs.classify, programs.again, programs.interpreter)
            sizes = ", ".join(f"{p.name} {p.n_insns} instructions" for p in loaded)
            lines.append(f"  programs: {sizes}; the last load took {offload.load_ms:.1f} ms")
            subtables = sorted(offload.tables.subtables.values(), key=lambda s: -s.hits)
            lines.append(f"  masks: {len(subtables)}")
            for one in subtables:
                kind = f"eth_type 0x{one.eth_type:04x}" if one.eth_type >= 0 else "any eth_type"
                again = ", recirculated" if one.again else ""
                lines.append(f"    {one.number}: {one.count} flows, {one.hits} hits, {kind}{again}")
            for number, port in sorted(offload.by_number.items()):
                sent, waiting, lost = offload.up.account(number)
                place = "egress" if port.local else "ingress"
                where = f"at the {place} of interface {port.ifindex}"
                lines.append(f"  port {number} ({port.port.name}): {where}; "
                             f"sent up {sent}, {waiting} bytes waiting, lost {lost}")
    return "\n".join(lines) + "\n"


def _dump(clock: Clock, scope: Scope, args: list[str]) -> str:
    from vswitch.dpif.ebpf.interpret import interpreter
    from vswitch.dpif.ebpf.programs import classifier

    wanted = args[0] if args else "classify"
    if wanted not in ("classify", "again", "actions"):
        raise CommandError(f"{wanted}: the programs are classify, again and actions")
    out = ""
    with _each(clock, scope) as datapaths:
        for dpif in datapaths:
            t, up = dpif.offload.tables, dpif.offload.up
            if wanted == "actions":
                asm = interpreter(t, up)
            else:
                again = wanted == "again"
                subtables = [s for s in t.subtables.values() if s.again == again]
                asm = classifier(t, up, subtables, again)
            out += f"{TYPE}@{dpif.name}: {wanted}\n{asm.listing()}"
    return out


def _why(clock: Clock, scope: Scope, args: list[str]) -> str:
    out: list[str] = []
    with _each(clock, scope) as datapaths:
        for dpif in datapaths:
            names = port_names(dpif)
            for flow in dpif.flow_dump():
                if _is_meant(flow, args[0], port_numbers(dpif)):
                    text = format_dpif_flow(flow, clock.now(), port_names=names)
                    where = "in the kernel" if flow.offloaded == "yes" else _reason(flow)
                    out.append(f"{text}\n  {where}")
    if not out:
        raise CommandError(f"no datapath flow is like {args[0]}")
    return "\n".join(out) + "\n"


def _reason(flow: DpifFlow) -> str:
    return f"in userspace only: {flow.offloaded.removeprefix('no (').removesuffix(')')}"


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
