"""`vswitch appctl`: asking a running switch over its unixctl socket, as ovs-appctl(8) does."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from typing import Final

from vswitch.base.json_framing import FramingError, JsonFramer
from vswitch.base.unixctl import CommandError, Json
from vswitch.cli.long_options import OptionError, Takes, parse
from vswitch.daemon.process import rundir

TIMEOUT_S: Final = 10.0
MAX_REPLY: Final = 256 << 20
"""The longest reply, in bytes: a dump of a million flows."""
PROGRAM: Final = "vswitch appctl"

LONG: Final = {
    "target": Takes.REQUIRED, "timeout": Takes.REQUIRED, "help": Takes.NOTHING, "version": Takes.NOTHING,
    "verbose": Takes.OPTIONAL, "log-file": Takes.OPTIONAL, "format": Takes.REQUIRED, "pretty": Takes.NOTHING,
}  # fmt: skip
SHORT: Final = {"t": "target", "T": "timeout", "h": "help", "V": "version", "v": "verbose", "f": "format"}


class TargetError(Exception):
    """There is no such process; the text says why."""


def ask(path: str, command: str, *args: str, timeout: float | None = TIMEOUT_S) -> str:
    """The reply of the switch at socket `path` to a runtime command.

    CommandError is its error reply; OSError: nobody answers there.
    """
    return str(_last_reply(path, [(command, args)], timeout))


def ask_json(path: str, command: str, *args: str, timeout: float | None = TIMEOUT_S) -> Json:
    """As `ask`, with the reply as a JSON value; of a command that has only a text it is
    {"reply": TEXT, "reply-format": "plain"}. A switch older than this option answers with an error."""
    return _last_reply(path, [("set-options", ("--format", "json")), (command, args)], timeout)


def _last_reply(path: str, requests: Sequence[tuple[str, Sequence[str]]], timeout: float | None) -> Json:
    """The reply to the last of `requests`, made one after the other on one connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        result: Json = None
        for command, args in requests:
            sock.sendall(json.dumps({"method": command, "params": list(args), "id": 0}).encode())
            reply = _reply(sock, path)
            if reply["error"] is not None:
                raise CommandError(str(reply["error"]).rstrip("\n"))
            result = reply["result"]
    return result


def _reply(sock: socket.socket, path: str) -> Json:
    framer = JsonFramer(MAX_REPLY)
    while data := sock.recv(1 << 20):
        try:
            replies = framer.feed(data)
        except FramingError as error:
            raise ConnectionError(f"{path}: {error}") from error
        for reply in replies:
            return reply
    raise ConnectionError(f"{path}: the connection ended without a reply")


def control_socket(target: str) -> str:
    """The control socket of TARGET: its path, or the name of a program with a pidfile. TargetError."""
    if target.startswith("/"):
        return target
    pidfile = rundir() / f"{target}.pid"
    try:
        pid = int(pidfile.read_text())
    except OSError as error:
        raise TargetError(f'cannot read pidfile "{pidfile}" ({error.strerror})') from error
    except ValueError as error:
        raise TargetError(f'cannot read pidfile "{pidfile}" (Invalid argument)') from error
    return str(rundir() / f"{target}.{pid}.ctl")


def _carry_out(argv: Sequence[str]) -> int:
    words = list(argv)
    # Options end at the command's name: what follows is the command's.
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in ("-", "--"):
        at += 2 if words[at] in ("-t", "-T", "-f", "--target", "--timeout", "--format") else 1
    parsed = parse(words[:at], LONG, SHORT)
    rest = words[at + 1 :] if words[at : at + 1] == ["--"] else words[at:]
    options = dict(parsed.options)
    if "help" in options:
        print(
            f"{PROGRAM}, for querying and controlling a running switch\n"
            f"usage: {PROGRAM} [-t TARGET] [-T SECS] [-f FORMAT [--pretty]] COMMAND [ARG...]\n"
            "TARGET: a program's name (default: ovs-vswitchd) or the path of its control socket\n"
            "FORMAT: text, or json with --pretty for one that people read\n"
            "COMMAND: list-commands prints those that TARGET has"
        )
        return 0
    if "version" in options:
        from vswitch.cli.version import version_text

        print(f"{PROGRAM} ({version_text()})")
        return 0
    if not rest:
        raise OptionError("at least one non-option argument is required (use --help for help)")
    seconds = options.get("timeout")
    if seconds is not None and not (seconds.isdigit() and int(seconds)):
        raise OptionError(f"value {seconds} on -T or --timeout is invalid")
    format = options.get("format") or "text"
    if format not in ("text", "json"):
        raise OptionError(f"unsupported output format: {format} (text, json)")
    if "pretty" in options and format != "json":
        raise OptionError("--pretty is supported with --format json only")
    target = options.get("target") or "ovs-vswitchd"
    path = control_socket(target)
    try:
        wait = None if seconds is None else int(seconds)
        if format == "json":
            indent = 2 if "pretty" in options else None
            reply = json.dumps(ask_json(path, *rest, timeout=wait), indent=indent, sort_keys=True)
        else:
            reply = ask(path, *rest, timeout=wait)
    except CommandError as error:
        print(error, file=sys.stderr)
        print(f"{PROGRAM}: {target}: server returned an error", file=sys.stderr)
        return 2
    except TimeoutError as error:
        raise TargetError(f"{path}: no reply within {seconds} s") from error
    except ConnectionError as error:
        if error.strerror is None:
            raise TargetError(f"{path}: transaction error (End of file)") from error
        raise TargetError(f'cannot connect to "{path}" ({error.strerror})') from error
    except OSError as error:
        raise TargetError(f'cannot connect to "{path}" ({error.strerror})') from error
    sys.stdout.write(reply if reply.endswith("\n") or not reply else reply + "\n")
    sys.stdout.flush()
    return 0


def main(argv: Sequence[str]) -> int:
    """Carry out `vswitch appctl`; the exit status."""
    try:
        return _carry_out(argv)
    except (OptionError, TargetError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
