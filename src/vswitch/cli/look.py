"""`vswitch status`, `top`, `trace` and `ebpf`: looking at a running switch.

On a terminal they draw tables, into a pipe they write plain lines, with `--json` one object.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vswitch.base.unixctl import CommandError, Json
from vswitch.cli import processes, sample
from vswitch.cli.appctl import TargetError, ask, ask_json, control_socket
from vswitch.cli.errors import CliError
from vswitch.cli.processes import DATABASE, SWITCH
from vswitch.cli.sample import Rates, Sample, human
from vswitch.daemon.process import rundir
from vswitch.openflow.constants import OFPP_LOCAL

if TYPE_CHECKING:
    from vswitch.cli.vsctl.replica import Record

SHOWN_FLOWS: Final = 10
NOT_UP: Final = 3
"""The exit status of `status` for what does not run, as of init scripts (LSB)."""


TRACED: Final = {
    "flow": "Flow", "final_flow": "Final flow", "megaflow": "Megaflow", "actions": "Datapath actions",
}  # fmt: skip
"""The lines of `ofproto/trace` that have a name of their own in JSON."""


def asker(target: str) -> sample.Ask:
    """What asks the switch called `target`. CliError if there is none."""
    try:
        path = control_socket(target)
    except TargetError as error:
        raise CliError(f"no switch is running here ({error})") from error

    def put(command: str, *args: str) -> str:
        try:
            return ask(path, command, *args)
        except OSError as error:
            raise CliError(f"{path}: {error.strerror or error}") from error

    return put


def json_asker(target: str) -> Callable[..., Json]:
    """As `asker`, for answers as JSON values. CliError if there is no such switch."""
    try:
        path = control_socket(target)
    except TargetError as error:
        raise CliError(f"no switch is running here ({error})") from error
    return functools.partial(ask_json, path)


def _table(console: Console, title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", pad_edge=False,
        box=box.SIMPLE if console.is_terminal else None,
    )  # fmt: skip
    for column in columns:
        left = column in (
            "bridge",
            "port",
            "type",
            "flow",
            "actions",
            "channel",
            "process",
            "answers",
            "error",
        )
        table.add_column(column, justify="left" if left else "right", no_wrap=column == "port")
    return table


def _console() -> Console:
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=200)


# Status.


def status(as_json: bool) -> int:
    """`vswitch status`; the exit status: 0 if switch and database run, else `NOT_UP`."""
    pids = {name: processes.running(name) for name in (DATABASE, SWITCH)}
    told: dict[str, Any] = {"processes": pids, "rundir": str(rundir()), "bridges": {}, "controllers": []}
    if pids[DATABASE]:
        told["configured"] = _configured()
    if pids[SWITCH]:
        seen = sample.take(asker(SWITCH), 0)
        told["version"] = asker(SWITCH)("version").partition("\n")[0]
        told["datapaths"] = seen.datapaths
        told["lookups"] = {"hit": seen.hit, "missed": seen.missed, "lost": seen.lost}
        told["flows"] = seen.n_flows
        for bridge in seen.bridges:
            ports = [dataclasses.asdict(p) for p in seen.ports.values() if p.bridge == bridge]
            told["bridges"][bridge] = ports
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        _print_status(told)
    return 0 if all(pids.values()) else NOT_UP


def _configured() -> dict[str, Any]:
    """What the database says of datapaths (and why these), controllers, and interfaces that failed."""
    from vswitch.cli.vsctl.replica import Edit, Replica
    from vswitch.ovsdb.client import Client
    from vswitch.ovsdb.errors import OvsdbError

    try:
        client = Client(f"unix:{rundir()}/db.sock")
        try:
            edit = Edit(Replica(client))
        finally:
            client.close()
    except (OSError, OvsdbError) as error:
        raise CliError(f"the database does not answer: {error}") from error
    controllers = [
        {"bridge": bridge.text("name"), "target": c.text("target"), "connected": c.flag("is_connected")}
        for bridge in edit.rows("Bridge")
        for c in edit.referenced(bridge, "controller")
    ]
    errors = {r.text("name"): r.text("error") for r in edit.rows("Interface") if r.text("error")}
    datapaths = {bridge.text("name"): _datapath(bridge) for bridge in edit.rows("Bridge")}
    return {"datapaths": datapaths, "controllers": controllers, "errors": errors}


def _datapath(bridge: Record) -> dict[str, str]:
    """The type of a bridge's datapath and the reason for it, or the "error" for which it has none."""
    status, asked = bridge.smap("status"), bridge.text("datapath_type")
    if "error" in status:
        return {"type": asked, "error": status["error"]}
    if asked:
        return {"type": asked, "reason": "as datapath_type asks for"}
    reason = status.get("datapath_type_reason", "the kernel has the openvswitch module")
    return {"type": status.get("datapath_type", "system"), "reason": reason}


def _print_status(told: dict[str, Any]) -> None:
    console = _console()
    for name, pid in told["processes"].items():
        colour, what = ("green", f"runs (pid {pid})") if pid else ("red", "does not run")
        console.print(Text.assemble(f"{name:<13} ", (what, colour)))
    if "version" not in told:
        return
    hit, missed, lost = (told["lookups"][k] for k in ("hit", "missed", "lost"))
    console.print(f"{told['version']}, {', '.join(told['datapaths']) or 'no datapath'}")
    console.print(f"lookups: {hit:,} hit, {missed:,} missed, {lost:,} lost; {told['flows']:,} flows\n")
    table = _table(
        console, "ports", "bridge", "port", "number", "type", "rx packets", "tx packets", "dropped"
    )
    for bridge, ports in told["bridges"].items():
        for p in ports:
            number = "LOCAL" if p["number"] == OFPP_LOCAL else str(p["number"])
            table.add_row(
                bridge, p["name"], number, p["type"], f"{p['rx_packets']:,}", f"{p['tx_packets']:,}",
                f"{p['rx_dropped'] + p['tx_dropped']:,}",
            )  # fmt: skip
    console.print(table)
    for bridge, datapath in told.get("configured", {}).get("datapaths", {}).items():
        if "error" in datapath:
            console.print(Text.assemble(f"{bridge} has no datapath: ", (datapath["error"], "red")))
        else:
            console.print(f"{bridge} uses datapath type {datapath['type']}: {datapath['reason']}")
    for c in told.get("configured", {}).get("controllers", []):
        colour, what = ("green", "connected") if c["connected"] else ("red", "not connected")
        console.print(Text.assemble(f"{c['bridge']} controller {c['target']}: ", (what, colour)))
    for name, error in told.get("configured", {}).get("errors", {}).items():
        console.print(Text.assemble(f"interface {name}: ", (error, "red")))


# Top.


def top(target: str, interval: float, once: bool, as_json: bool) -> None:
    """`vswitch top`: what the switch does, again and again. CliError when it is gone."""
    put = asker(target)
    console = _console()
    try:
        before = _sample(put)
        if once or not console.is_terminal:
            while True:
                time.sleep(interval)
                after = _sample(put)
                _tell(console, before, after, as_json)
                if once:
                    return
                before = after
        first = _picture(console, before, before)
        with Live(first, console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                after = _sample(put)
                live.update(_picture(console, before, after), refresh=True)
                before = after
    except KeyboardInterrupt:
        return


def _sample(put: sample.Ask) -> Sample:
    try:
        return sample.take(put, time.monotonic())
    except CommandError as error:
        raise CliError(f"the switch does not answer: {error}") from error


def _tell(console: Console, before: Sample, after: Sample, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_numbers(before, after)), flush=True)
    else:
        console.print(_picture(console, before, after))
        sys.stdout.flush()


def _busiest(after: Sample, now: Rates) -> list[str]:
    return sorted(after.flows, key=lambda k: (-now.flows[k][0], -after.flows[k].packets))[:SHOWN_FLOWS]


def _numbers(before: Sample, after: Sample) -> dict[str, Any]:
    now = sample.rates(before, after)
    return {
        "seconds": now.seconds,
        "packets_per_second": now.packets,
        "misses_per_second": now.missed,
        "lost_per_second": now.lost,
        "hit": after.hit,
        "missed": after.missed,
        "lost": after.lost,
        "n_flows": after.n_flows,
        "ports": [
            dataclasses.asdict(port)
            | dict(zip(("rx_pps", "rx_bps", "tx_pps", "tx_bps"), now.ports[name], strict=True))
            for name, port in after.ports.items()
        ],
        "flows": [
            dataclasses.asdict(after.flows[key]) | {"pps": now.flows[key][0], "bps": now.flows[key][1]}
            for key in _busiest(after, now)
        ],
        "channels": [dataclasses.asdict(channel) for channel in after.channels],
    }


def _picture(console: Console, before: Sample, after: Sample) -> Group:
    now = sample.rates(before, after)
    total = after.hit + after.missed
    share = f", {100 * after.hit / total:.1f} % cached" if total else ""
    head = Text.assemble(
        (f"{', '.join(after.datapaths) or 'no datapath'}", "bold"),
        f"  {human(now.packets)} packets/s, {human(now.missed)} misses/s",
        (f", {human(now.lost)} lost/s", "red" if now.lost else ""),
        f"  ({after.hit:,} hit, {after.missed:,} missed, {after.lost:,} lost{share};"
        f" {after.n_flows:,} flows)",
    )
    ports = _table(
        console, "ports", "bridge", "port", "number", "rx packets/s", "rx bit/s", "tx packets/s", "tx bit/s",
        "dropped",
    )  # fmt: skip
    for name, port in after.ports.items():
        rx, rx_bits, tx, tx_bits = now.ports[name]
        number = "LOCAL" if port.number == OFPP_LOCAL else str(port.number)
        ports.add_row(
            port.bridge, name, number, human(rx), human(rx_bits), human(tx), human(tx_bits),
            f"{port.rx_dropped + port.tx_dropped:,}",
        )  # fmt: skip
    flows = _table(console, "busiest flows", "packets/s", "bit/s", "packets", "flow", "actions")
    for key in _busiest(after, now):
        flow = after.flows[key]
        flows.add_row(
            human(now.flows[key][0]), human(now.flows[key][1]), f"{flow.packets:,}", Text(flow.match),
            Text(flow.actions),
        )  # fmt: skip
    channels = _table(console, "upcalls", "channel", "received", "lost")
    for channel in after.channels:
        channels.add_row(channel.name, f"{channel.received:,}", f"{channel.lost:,}")
    return Group(head, ports, flows, channels)


# Trace.


def trace(target: str, bridge: str, flow: str, rest: Sequence[str], as_json: bool) -> None:
    """`vswitch trace`: what would happen to a packet. CliError."""
    try:
        text = asker(target)("ofproto/trace", bridge, flow, *rest)
    except CommandError as error:
        raise CliError(str(error)) from error
    if as_json:
        lines = dict(line.partition(": ")[::2] for line in reversed(text.splitlines()))
        found = {name: lines.get(words, "") for name, words in TRACED.items()}
        print(json.dumps({"bridge": bridge, **found, "text": text}))
        return
    console = _console()
    if not console.is_terminal:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    for line in text.splitlines():
        word, colon, _ = line.partition(": ")
        known = colon and word in TRACED.values()
        style = "bold green" if word == "Datapath actions" else "bold" if known else ""
        console.print(Text(line, style=style), soft_wrap=True)


# What the eBPF datapath has in the kernel.


def ebpf(target: str, question: str, rest: Sequence[str], as_json: bool) -> None:
    """`vswitch ebpf`: `question` is a command of `ebpf/`. CliError."""
    ask = json_asker(target) if as_json else asker(target)
    try:
        told = ask(f"ebpf/{question}", *rest)
    except CommandError as error:
        raise CliError(str(error)) from error
    sys.stdout.write(json.dumps(told) + "\n" if as_json else told)
