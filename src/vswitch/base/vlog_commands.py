"""`vlog/list`, `vlog/set` and the rest: logging changed while the switch runs.

The syntax of levels is ovs-appctl(8)'s: words separated by spaces, commas or colons, of which
one each may name a module, a destination and a level, in any order.
"""

from __future__ import annotations

import re

from vswitch.base import vlog
from vswitch.base.unixctl import ANY, CommandError, Commands
from vswitch.base.vlog import Destination, Level, Vlog


def _destination(word: str) -> Destination | None:
    return Destination.__members__.get(word.upper())


def set_levels_from_string(spec: str) -> str:
    """Carry out one argument of `vlog/set`; returns what is wrong with it, or ""."""
    kind, colon, rest = spec.partition(":")
    if kind.upper() == "PATTERN":
        name, colon, pattern = rest.partition(":")
        where = _destination(name)
        if where is None and name.lower() != "any":
            return f'unknown destination "{name}"'
        if colon:
            for d in Destination if where is None else [where]:
                vlog.set_pattern(d, pattern)
        return ""
    if kind.upper() == "FACILITY":
        try:
            vlog.set_facility(rest)
        except ValueError as e:
            return str(e)
        return ""

    known = {m.module.lower().replace("-", "_"): m.module for m in vlog.modules()}
    module: str | None = None
    destination: Destination | None = None
    level: Level | None = None
    for word in re.split(r"[ ,:]+", spec.strip(" ,:")):
        lower = word.lower()
        if lower in ("any", ""):
            continue
        if (found := _destination(word)) is not None:
            if destination is not None:
                return "cannot specify multiple destinations"
            destination = found
        elif word.upper() in Level.__members__:
            if level is not None:
                return "cannot specify multiple levels"
            level = Level[word.upper()]
        elif lower.replace("-", "_") in known:
            if module is not None:
                return "cannot specify multiple modules"
            module = known[lower.replace("-", "_")]
        else:
            return f'no destination, level, or module "{word}"'
    vlog.set_levels(module, destination, Level.DBG if level is None else level)
    return ""


def level_listing() -> str:
    """Levels by module and destination, as `ovs-appctl vlog/list` prints them."""
    lines = [
        "                 console    syslog    file\n",
        "                 -------    ------    ------\n",
    ]
    for m in vlog.modules():
        c, s, f = (level.name for level in m.levels)
        note = "" if m.honor_rate_limits else "    (rate limiting disabled)"
        lines.append(f"{m.module:<16}  {c:>4}       {s:>4}       {f:>4}{note}\n")
    return "".join(lines)


def pattern_listing() -> str:
    """The patterns, as `ovs-appctl vlog/list-pattern` prints them."""
    prefix = vlog.syslog_prefix()
    lines = [
        "         prefix                            format\n",
        "         ------                            ------\n",
        f"SYSLOG   {prefix:<33} {vlog.pattern(Destination.SYSLOG)}\n",
        f"CONSOLE  {'none':<33} {vlog.pattern(Destination.CONSOLE)}\n",
        f"FILE     {'none':<33} {vlog.pattern(Destination.FILE)}\n",
    ]
    return "".join(lines)


def _set(args: list[str]) -> str:
    for spec in args:
        if wrong := set_levels_from_string(spec):
            raise CommandError(wrong)
    return ""


def _rate_limits(args: list[str], honor: bool) -> str:
    by_name = {m.module: m for m in vlog.modules()}
    chosen: list[Vlog] = []
    for name in args:
        if name == "any":
            chosen = list(by_name.values())
        elif name in by_name:
            chosen.append(by_name[name])
        else:
            raise CommandError("unknown module")
    for m in chosen if args else by_name.values():
        m.honor_rate_limits = honor
    return ""


def _reopen(_args: list[str]) -> str:
    try:
        if not vlog.reopen_log_file():
            raise CommandError("Logging to file not configured")
    except OSError as e:
        raise CommandError(e.strerror or str(e)) from e
    return ""


def _close(_args: list[str]) -> str:
    vlog.close_log_file()
    return ""


def register(commands: Commands) -> None:
    """Register the vlog commands."""
    commands.register("vlog/set", "{spec | PATTERN:destination:pattern}", 0, ANY, _set)
    commands.register("vlog/list", "", 0, 0, lambda _args: level_listing())
    commands.register("vlog/list-pattern", "", 0, 0, lambda _args: pattern_listing())
    commands.register("vlog/enable-rate-limit", "[module]...", 0, ANY, lambda args: _rate_limits(args, True))
    commands.register("vlog/disable-rate-limit", "[module]...", 0, ANY, lambda a: _rate_limits(a, False))
    commands.register("vlog/close", "", 0, 0, _close)
    commands.register("vlog/reopen", "", 0, 0, _reopen)
