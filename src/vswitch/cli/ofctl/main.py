"""`vswitch ofctl`: options and commands of ovs-ofctl(8)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from vswitch.base.records import dataclass
from vswitch.cli.alarm import set_alarm
from vswitch.cli.long_options import OptionError, Takes, parse
from vswitch.cli.ofctl import flows, groups, packets, ports, tables, watch
from vswitch.cli.ofctl.color import Painter, wanted
from vswitch.cli.ofctl.formats import allowed, parse_formats
from vswitch.cli.ofctl.offline import OFFLINE
from vswitch.cli.ofctl.switch import OfctlError, Settings, Switch, SwitchError
from vswitch.cli.ofctl.unlisted import UNLISTED
from vswitch.cli.version import version_text
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.version import OFP13, OFP14, VERSIONS, version_from_name
from vswitch.vconn.tls import TlsSettings

PROGRAM: Final = "vswitch ofctl"
MANY: Final = 1 << 30

_NOTHING, _REQUIRED, _OPTIONAL = Takes.NOTHING, Takes.REQUIRED, Takes.OPTIONAL
LONG: Final = {
    "timeout": _REQUIRED, "strict": _NOTHING, "readd": _NOTHING, "flow-format": _REQUIRED,
    "packet-in-format": _REQUIRED, "more": _NOTHING, "timestamp": _NOTHING, "sort": _OPTIONAL,
    "rsort": _OPTIONAL, "names": _NOTHING, "no-names": _NOTHING, "no-stats": _NOTHING, "stats": _NOTHING,
    "may-create": _NOTHING, "bundle": _NOTHING, "color": _OPTIONAL, "read-only": _NOTHING,
    "protocols": _REQUIRED, "private-key": _REQUIRED, "certificate": _REQUIRED, "ca-cert": _REQUIRED,
    "bootstrap-ca-cert": _REQUIRED, "peer-ca-cert": _REQUIRED, "ssl-protocols": _REQUIRED,
    "ssl-ciphers": _REQUIRED, "verbose": _OPTIONAL, "log-file": _OPTIONAL, "syslog-target": _REQUIRED,
    "syslog-method": _REQUIRED, "unixctl": _REQUIRED, "detach": _NOTHING, "monitor": _NOTHING,
    "no-chdir": _NOTHING, "pidfile": _OPTIONAL, "overwrite-pidfile": _NOTHING, "user": _REQUIRED,
    "no-self-confinement": _NOTHING, "help": _NOTHING, "version": _NOTHING, "json": _NOTHING,
}  # fmt: skip
SHORT: Final = {
    "t": "timeout", "F": "flow-format", "P": "packet-in-format", "m": "more", "O": "protocols",
    "p": "private-key", "c": "certificate", "C": "ca-cert", "v": "verbose", "h": "help", "V": "version",
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command: its arguments behind SWITCH, how many, and what it does."""

    usage: str
    least: int
    most: int
    run: Callable[[Switch, Sequence[str]], None]
    socket: str = "mgmt"
    read_only: bool = True


def _writing(usage: str, least: int, most: int, run: Callable[[Switch, Sequence[str]], None]) -> Command:
    return Command(usage, least, most, run, read_only=False)


COMMANDS: Final = {
    "show": Command("", 0, 0, ports.show),
    "monitor": Command("[MISSLEN] [invalid_ttl] [resume] [watch:[...]]", 0, 3, watch.monitor),
    "snoop": Command("", 0, 0, watch.snoop, "snoop"),
    "dump-desc": Command("", 0, 0, ports.dump_desc),
    "dump-tables": Command("", 0, 0, tables.dump_tables),
    "dump-table-features": Command("", 0, 0, tables.dump_table_features),
    "dump-table-desc": Command("", 0, 0, tables.dump_table_desc),
    "dump-flows": Command("[FLOW]", 0, 1, flows.dump_flows),
    "dump-aggregate": Command("[FLOW]", 0, 1, flows.dump_aggregate),
    "queue-stats": Command("[PORT [QUEUE]]", 0, 2, ports.queue_stats),
    "queue-get-config": Command("[PORT [QUEUE]]", 0, 2, ports.queue_get_config),
    "add-flow": _writing("FLOW", 1, 1, flows.add_flow),
    "add-flows": _writing("FILE", 1, 1, flows.add_flows),
    "mod-flows": _writing("FLOW", 1, 1, flows.mod_flows),
    "del-flows": _writing("[FLOW]", 0, 1, flows.del_flows),
    "replace-flows": _writing("FILE", 1, 1, flows.replace_flows),
    "add-meter": _writing("METER", 1, 1, groups.add_meter),
    "mod-meter": _writing("METER", 1, 1, groups.mod_meter),
    "del-meter": _writing("METER", 1, 1, groups.del_meters),
    "del-meters": _writing("[METER]", 0, 1, groups.del_meters),
    "dump-meter": Command("METER", 1, 1, groups.dump_meters),
    "dump-meters": Command("[METER]", 0, 1, groups.dump_meters),
    "meter-stats": Command("[METER]", 0, 1, groups.meter_stats),
    "meter-features": Command("", 0, 0, groups.meter_features),
    "packet-out": _writing('"in_port=PORT packet=HEX actions=..."', 1, MANY, packets.packet_out),
    "dump-ports": Command("[PORT]", 0, 1, ports.dump_ports),
    "dump-ports-desc": Command("[PORT]", 0, 1, ports.dump_ports_desc),
    "mod-port": _writing("IFACE ACT", 2, 2, ports.mod_port),
    "mod-table": _writing("TABLE MOD", 2, 2, tables.mod_table),
    "get-frags": Command("", 0, 0, ports.get_frags),
    "set-frags": _writing("FRAG_MODE", 1, 1, ports.set_frags),
    "probe": Command("", 0, 0, watch.probe),
    "ping": Command("[N]", 0, 1, watch.ping),
    "benchmark": Command("N COUNT", 2, 2, watch.benchmark),
    "ct-flush-zone": _writing("ZONE", 1, 1, groups.ct_flush_zone),
    "ct-flush": _writing("[zone=N] [TUPLE [TUPLE]]", 0, 3, groups.ct_flush),
    "dump-ipfix-bridge": Command("", 0, 0, groups.dump_ipfix_bridge),
    "dump-ipfix-flow": Command("", 0, 0, groups.dump_ipfix_flow),
    "add-group": _writing("GROUP", 1, 1, groups.add_group),
    "add-groups": _writing("FILE", 1, 1, groups.add_groups),
    "mod-group": _writing("GROUP", 1, 1, groups.mod_group),
    "del-groups": _writing("[GROUP]", 0, 1, groups.del_groups),
    "insert-buckets": _writing("GROUP", 1, 1, groups.insert_buckets),
    "remove-buckets": _writing("GROUP", 1, 1, groups.remove_buckets),
    "dump-groups": Command("[GROUP]", 0, 1, groups.dump_groups),
    "dump-group-stats": Command("[GROUP]", 0, 1, groups.dump_group_stats),
    "dump-group-features": Command("", 0, 0, groups.dump_group_features),
    "bundle": _writing("FILE", 1, 1, flows.bundle),
    "add-tlv-map": _writing("MAP", 1, 1, groups.add_tlv_map),
    "del-tlv-map": _writing("[MAP]", 0, 1, groups.del_tlv_map),
    "dump-tlv-map": Command("", 0, 0, groups.dump_tlv_map),
}


def _versions(text: str) -> tuple[int, ...]:
    try:
        return tuple(version_from_name(name) for name in text.replace(",", " ").split()) or tuple(VERSIONS)
    except KeyError as error:
        raise OfctlError(f'Unknown OpenFlow version: "{error.args[0]}"') from None


def read_settings(options: Sequence[tuple[str, str | None]]) -> tuple[Settings, set[str], int]:
    """What the options ask for: settings, flags seen, seconds of `--timeout`. OfctlError."""
    settings = Settings(names=sys.stdout.isatty())
    tls: dict[str, str] = {}
    seen: set[str] = set()
    seconds = 0
    for name, value in options:
        seen.add(name)
        text = value or ""
        if name == "timeout":
            if not text.isdigit() or int(text) == 0:
                raise OfctlError(f"value {text} on -t or --timeout is invalid")
            seconds = int(text)
        elif name == "protocols":
            settings = replace(settings, versions=_versions(text), asked_versions=True)
        elif name == "flow-format":
            settings.formats = parse_formats(text)
        elif name in ("sort", "rsort"):
            settings.sort.append((text, name == "rsort"))
        elif name == "color":
            if text not in ("", "always", "never", "auto"):
                raise OfctlError(f"incorrect value `{text}' for --color")
            colored = wanted(text, sys.stdout.isatty(), os.environ.get("TERM", ""))
            settings.painter = Painter(os.environ.get("OVS_COLORS", "")) if colored else None
        elif name == "more":
            settings.verbosity += 1
        elif name in ("strict", "bundle", "readd", "timestamp", "names", "json"):
            setattr(settings, name, True)
        elif name == "no-names":
            settings.names = False
        elif name == "no-stats":
            settings.stats = False
        elif name == "may-create":
            settings.may_create = True
        elif name == "packet-in-format":
            settings.packet_in_format = text
        elif name in ("detach", "monitor", "overwrite-pidfile"):
            setattr(settings.process, name.replace("-", "_"), True)
        elif name == "no-chdir":
            settings.process.chdir = False
        elif name in ("pidfile", "unixctl", "log-file"):
            setattr(settings.process, name.replace("-", "_"), text)
        elif value is not None:
            tls[name] = text
    if settings.json and (settings.sort or settings.names or not settings.stats):
        asked = {"sort": "--sort", "rsort": "--rsort", "no-stats": "--no-stats", "names": "--names"}
        for option in asked.keys() & seen:
            raise OfctlError(f"--json prints messages as they come: it has no {asked[option]}")
        settings.names = False
    bootstrap = tls.get("bootstrap-ca-cert", "")
    settings.tls = TlsSettings(
        tls.get("private-key", ""), tls.get("certificate", ""), bootstrap or tls.get("ca-cert", ""),
        bool(bootstrap), tls.get("ssl-protocols", ""), tls.get("ssl-ciphers", ""),
    )  # fmt: skip
    return settings, seen, seconds


def _carry_out(argv: Sequence[str]) -> int:
    parsed = parse(argv, LONG, SHORT)
    settings, seen, seconds = read_settings(parsed.options)
    if "help" in seen:
        sys.stdout.write(help_text())
        return 0
    if "version" in seen:
        print(f"{PROGRAM} ({version_text()})\nOpenFlow versions 0x1:0x6")
        return 0
    if not parsed.arguments:
        raise OfctlError("missing command name; use --help for help")
    name, *args = parsed.arguments
    if name == "list-commands":
        lines = [f"  {n:<23} {f'switch {c.usage}'.strip()}\n" for n, c in COMMANDS.items()]
        lines += [f"  {n:<23} {c.usage}".rstrip() + "\n" for n, c in (OFFLINE | UNLISTED).items()]
        sys.stdout.write("The available commands are:\n" + "".join(lines))
        return 0
    if name == "help":
        sys.stdout.write(help_text())
        return 0
    command, offline = COMMANDS.get(name), OFFLINE.get(name) or UNLISTED.get(name)
    if offline is not None:
        least, most = offline.least, offline.most
    elif command is not None:
        least, most = command.least + 1, command.most + 1
    elif name == "diff-flows":
        least, most = 2, 2
    else:
        raise OfctlError(f"unknown command '{name}'; use --help for help")
    if len(args) < least:
        raise OfctlError(f"'{name}' command requires at least {least} arguments")
    if len(args) > most:
        raise OfctlError(f"'{name}' command takes at most {most} arguments")
    if "read-only" in seen and command is not None and not command.read_only:
        raise OfctlError(f"'{name}' command does not work in read only mode")
    if settings.bundle or name == "bundle":
        # The ONF's extension has bundles in 1.3; a switch that is to speak less is asked for 1.4.
        bundling = tuple(v for v in settings.versions if v >= OFP13)
        settings.versions = bundling or (OFP14,)
    allowed(settings.versions, settings.formats)
    set_alarm(seconds, PROGRAM)
    try:
        if offline is not None:
            offline.run(settings, args)
            sys.stdout.flush()
            return 0
        if command is None:
            return flows.diff_flows(settings, args)
        with Switch(args[0], settings, command.socket) as switch:
            command.run(switch, args[1:])
    finally:
        set_alarm(0, PROGRAM)
    sys.stdout.flush()
    return 0


def help_text() -> str:
    """`--help`."""
    lines = [f"{PROGRAM}: look at and change an OpenFlow switch, in the words of ovs-ofctl(8)",
             f"usage: {PROGRAM} [OPTIONS] COMMAND [ARG...]", "", "Commands:"]  # fmt: skip
    lines += [f"  {name} SWITCH {command.usage}".rstrip() for name, command in COMMANDS.items()]
    lines += [f"  {name} {command.usage}" for name, command in OFFLINE.items()]
    lines += ["  diff-flows SOURCE1 SOURCE2",
              "SWITCH is a bridge of this machine, unix:FILE, tcp:HOST[:PORT] or ssl:HOST[:PORT].", "",
              "Options:",
              "  -O, --protocols=VERSIONS  OpenFlow versions to speak (default: OpenFlow10 with extensions)",
              "  --strict, --bundle, --readd, --may-create",
              "  --names, --no-names, --no-stats, --sort[=FIELD], --rsort[=FIELD], -m, --more, --timestamp",
              "  --json  answers as JSON, an object a message, in place of text",
              "  -F, --flow-format=FORMATS  OpenFlow10, NXM, OpenFlow11, OXM... (default: any)",
              "  -t, --timeout=SECS, -P, --packet-in-format=FORMAT, --read-only",
              "  --detach, --no-chdir, --monitor, --pidfile[=FILE], --overwrite-pidfile, --unixctl=SOCKET,",
              "  --log-file[=FILE]  (monitor, snoop) be a daemon, which ovs-appctl can talk to",
              "  -p, --private-key=FILE, -c, --certificate=FILE, -C, --ca-cert=FILE", ""]  # fmt: skip
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Carry out a command line; the exit status."""
    try:
        return _carry_out(argv)
    except SwitchError as error:
        sys.stdout.flush()
        sys.stderr.write(error.text)
    except (OfctlError, OptionError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
    except FlowSyntaxError as error:
        print(f"{PROGRAM}: {flows.said(error)}", file=sys.stderr)
    except OfpError as error:
        print(f"{PROGRAM}: this OpenFlow version can't say that: {error}", file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 1
