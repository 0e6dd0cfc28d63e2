"""The commands that look at a connection over time: monitor, snoop, probe, ping, benchmark."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, TypeAlias

from vswitch.cli.ofctl.flows import said
from vswitch.cli.ofctl.switch import OfctlError, Switch, SwitchError
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.flow_mod import FlowModCommand
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages.nicira import (
    NXPIF_NXT_PACKET_IN,
    NXPIF_NXT_PACKET_IN2,
    NXPIF_STANDARD,
    SetPacketInFormat,
)
from vswitch.openflow.messages.session import (
    OFPC_INVALID_TTL_TO_CONTROLLER,
    EchoReply,
    EchoRequest,
    GetConfigRequest,
    SetConfig,
)
from vswitch.openflow.wire.messages_base import Form

Args: TypeAlias = Sequence[str]

PINGS: Final = 10
HEADER_BYTES: Final = 8
PACKET_INS: Final = {
    "standard": NXPIF_STANDARD, "openflow10": NXPIF_STANDARD, "nxm": NXPIF_NXT_PACKET_IN,
    "nxt_packet_in": NXPIF_NXT_PACKET_IN, "nxt_packet_in2": NXPIF_NXT_PACKET_IN2,
}  # fmt: skip
_FLAGS: Final = {
    "initial": f.OFPFMF_INITIAL, "add": f.OFPFMF_ADD, "delete": f.OFPFMF_REMOVED,
    "modify": f.OFPFMF_MODIFY, "actions": f.OFPFMF_INSTRUCTIONS, "own": f.OFPFMF_NO_ABBREV,
}  # fmt: skip


def flow_monitor(switch: Switch, text: str, number: int) -> f.FlowMonitor:
    """What `watch:TEXT` asks for (ovs-ofctl(8), "monitor"). OfctlError."""
    flags = 0
    for bit in _FLAGS.values():
        flags |= bit
    rest = []
    for word in (w.strip() for w in text.split(",")):
        if word.startswith("!") and word[1:] in _FLAGS:
            flags &= ~_FLAGS[word[1:]]
            if word == "!own":
                flags |= f.OFPFMF_ONLY_OWN & 0
        elif word:
            rest.append(word)
    try:
        mod = parse_flow(",".join(rest), FlowModCommand.DELETE, switch.port_names, as_said=True)
    except FlowSyntaxError as error:
        raise OfctlError(said(error)) from error
    return f.FlowMonitor(
        number, mod.match, flags, table_id=mod.table_id, out_port=mod.out_port, out_group=mod.out_group
    )


def monitor(switch: Switch, args: Args) -> None:
    """`monitor SWITCH [MISSLEN] [invalid_ttl] [resume] [watch:...]`"""
    config = None
    resume = False
    monitors: list[f.FlowMonitor] = []
    for word in args:
        if word.isdigit():
            config = config or switch.ask(GetConfigRequest())[0].body
            config = SetConfig(config.flags, int(word))
        elif word == "invalid_ttl":
            config = config or switch.ask(GetConfigRequest())[0].body
            config = SetConfig(config.flags | OFPC_INVALID_TTL_TO_CONTROLLER, config.miss_send_len)
        elif word == "resume":
            resume = True
        elif word.startswith("watch:"):
            monitors.append(flow_monitor(switch, word.removeprefix("watch:"), len(monitors)))
        else:
            raise OfctlError(f'{word}: unsupported "monitor" argument')
    if config is not None:
        switch.do([(SetConfig(config.flags, config.miss_send_len), Form.OPENFLOW)])
    wanted = switch.settings.packet_in_format
    if wanted and wanted not in PACKET_INS:
        raise OfctlError(f"unknown packet-in format `{wanted}'")
    # The form that tells the most, if the switch knows it and no other is asked for.
    for number in (PACKET_INS[wanted],) if wanted else (NXPIF_NXT_PACKET_IN2, NXPIF_NXT_PACKET_IN):
        try:
            switch.do([(SetPacketInFormat(number), Form.OPENFLOW)])
            break
        except SwitchError:
            if wanted:
                raise
    if monitors:
        switch.client.send(f.FlowMonitorRequest(tuple(monitors)), switch.extended)
    _follow(switch, resume)


def snoop(switch: Switch, args: Args) -> None:
    """`snoop SWITCH`"""
    _follow(switch)


def _follow(switch: Switch, resume: bool = False) -> None:
    # What makes a daemon is loaded by nothing else.
    from vswitch.cli.ofctl.follow import follow

    follow(switch, resume)


def probe(switch: Switch, args: Args) -> None:
    """`probe TARGET`: an echo is answered."""
    if not isinstance(switch.ask(EchoRequest())[0].body, EchoReply):
        raise OfctlError(f"{switch.name}: reply does not match request")


def _size(text: str, most: int = 65535 - HEADER_BYTES) -> int:
    if not text.isdigit() or int(text) > most:
        raise OfctlError(f"payload must be between 0 and {most} bytes")
    return int(text)


def ping(switch: Switch, args: Args) -> None:
    """`ping TARGET [N]`: ten echos of N bytes."""
    size = _size(args[0]) if args else 64
    payload = bytes(n % 256 for n in range(size))
    for _ in range(PINGS):
        started = time.perf_counter()
        reply = switch.ask(EchoRequest(payload))[0]
        took = (time.perf_counter() - started) * 1000
        if reply.body != EchoReply(payload):
            raise OfctlError(f"{switch.name}: reply does not match request")
        print(f"{size} bytes from {switch.name}: xid={reply.xid:08x} time={took:.1f} ms")


def benchmark(switch: Switch, args: Args) -> None:
    """`benchmark TARGET N COUNT`"""
    size, count = _size(args[0]), _size(args[1], 1 << 31)
    payload = bytes(size)
    total = (size + HEADER_BYTES) * count
    print(
        f"Sending {count} packets * {size + HEADER_BYTES} bytes (with header) = {total} bytes total",
        flush=True,
    )
    started = time.perf_counter()
    for _ in range(count):
        switch.ask(EchoRequest(payload))
    took = max(time.perf_counter() - started, 1e-9)
    print(f"Finished in {took * 1000:.1f} ms ({count / took:.0f} packets/s) ({total / took:.0f} bytes/s)")
