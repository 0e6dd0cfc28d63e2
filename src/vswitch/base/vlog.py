"""Logging in Open vSwitch's own format, with levels a module and a destination.

`Vlog("dpif")` is a module's voice. Three destinations hear it: console (standard error),
syslog and file, each with its own pattern and a level for every module. Until a process says
otherwise only warnings go to the console, so that a program that imports the package stays
quiet. `vlog/set` and its like are in `vlog_commands.py`.
"""

from __future__ import annotations

import enum
import os
import re
import sys
import syslog
import time
from collections.abc import Callable
from typing import Any, Final, TextIO, final

from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog_modules import MODULES
from vswitch.base.vlog_syslog import FACILITIES, LibcSyslogger, SocketSyslogger, Syslogger


class Level(enum.IntEnum):
    """How grave a message is; a destination takes those at its level or graver."""

    OFF = 0
    EMER = 1
    ERR = 2
    WARN = 3
    INFO = 4
    DBG = 5


class Destination(enum.IntEnum):
    """Where messages go."""

    CONSOLE = 0
    SYSLOG = 1
    FILE = 2


DEFAULT_PATTERNS: Final = (
    "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
    "ovs|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
)

_SYSLOG_PRIORITY: Final = {
    Level.EMER: syslog.LOG_ALERT,
    Level.ERR: syslog.LOG_ERR,
    Level.WARN: syslog.LOG_WARNING,
    Level.INFO: syslog.LOG_NOTICE,
    Level.DBG: syslog.LOG_DEBUG,
}

_TARGET_PREFIX: Final = "<%B>1 %D{%Y-%m-%dT%H:%M:%S.###Z} %E %A %P - - \ufeff"
"""What RFC 5424, section 6, wants in front of a message to `--syslog-target`."""

_DIRECTIVE: Final = re.compile(r"%(-?)(0?)(\d*)([A-Za-z%])(?:\{([^}]*)\})?")


def _strftime(template: str, wall: float, utc: bool) -> str:
    when = time.gmtime(wall) if utc else time.localtime(wall)
    return time.strftime(template, when).replace("###", f"{int(wall * 1000) % 1000:03d}")


@final
class Vlog:
    """A log module. `emer`, `err`, `warn`, `info` and `dbg` take a %-format and its arguments."""

    def __new__(cls, module: str) -> Vlog:
        """The module called `module`: the same object every time."""
        known = _modules.get(module)
        if known is None:
            known = object.__new__(cls)
            known.module = module
            known.levels = list(_default_levels)
            known.most = max(known.levels)
            known.honor_rate_limits = True
            _modules[module] = known
        return known

    module: str
    levels: list[Level]
    """The level at each `Destination`."""
    most: Level
    """The most talkative of `levels`; a message beyond it goes nowhere."""
    honor_rate_limits: bool

    def enabled(self, level: Level) -> bool:
        """Whether a message of `level` would go anywhere."""
        return level <= self.most

    def set_level(self, destination: Destination, level: Level) -> None:
        """Let `destination` take this module's messages of `level` and graver."""
        self.levels[destination] = level
        self.most = max(self.levels)

    def emer(self, fmt: str, *args: object) -> None:
        """The process is about to end."""
        self.log(Level.EMER, fmt, *args)

    def err(self, fmt: str, *args: object) -> None:
        """Something that the switch should have done failed."""
        self.log(Level.ERR, fmt, *args)

    def warn(self, fmt: str, *args: object) -> None:
        """Something an operator should look at."""
        self.log(Level.WARN, fmt, *args)

    def info(self, fmt: str, *args: object) -> None:
        """Something rare and ordinary."""
        self.log(Level.INFO, fmt, *args)

    def dbg(self, fmt: str, *args: object) -> None:
        """Something that only a developer wants to know."""
        if self.most >= Level.DBG:
            self.log(Level.DBG, fmt, *args)

    def err_rl(self, rl: RateLimit, now: int, fmt: str, *args: object) -> None:
        """`err`, as often as `rl` allows at `now` (clock ms)."""
        self.log_rl(Level.ERR, rl, now, fmt, *args)

    def warn_rl(self, rl: RateLimit, now: int, fmt: str, *args: object) -> None:
        """`warn`, as often as `rl` allows at `now` (clock ms)."""
        self.log_rl(Level.WARN, rl, now, fmt, *args)

    def info_rl(self, rl: RateLimit, now: int, fmt: str, *args: object) -> None:
        """`info`, as often as `rl` allows at `now` (clock ms)."""
        self.log_rl(Level.INFO, rl, now, fmt, *args)

    def dbg_rl(self, rl: RateLimit, now: int, fmt: str, *args: object) -> None:
        """`dbg`, as often as `rl` allows at `now` (clock ms)."""
        self.log_rl(Level.DBG, rl, now, fmt, *args)

    def log_rl(self, level: Level, rl: RateLimit, now: int, fmt: str, *args: object) -> None:
        """Log unless `rl` is exhausted; the first message after a gap says how many were dropped."""
        if self.allows(level, rl, now):
            self.log(level, fmt, *args)

    def allows(self, level: Level, rl: RateLimit, now: int) -> bool:
        """Whether `rl` lets messages of `level` be logged at `now` (clock ms): for what takes several."""
        if level > self.most:
            return False
        if not self.honor_rate_limits:
            return True
        if not rl.allow(now):
            return False
        if rl.suppressed:
            n, first, last = rl.taken(now)
            self.log(
                level,
                "Dropped %d log messages in last %d seconds (most recently, %d seconds ago)"
                " due to excessive rate",
                n,
                first,
                last,
            )
        return True

    def log(self, level: Level, fmt: str, *args: object) -> None:
        """Log one message. A text of several lines has one header, but in syslog, which takes lines."""
        if level > self.most:
            return
        _sinks.write(self, level, fmt % args if args else fmt)


@final
class _Sinks:
    """The three destinations, the clock that stamps messages, the count of messages."""

    def __init__(self) -> None:
        self.patterns = list(DEFAULT_PATTERNS)
        self.program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "vswitch"
        self.wall: Callable[[], float] = time.time
        self.console: TextIO | None = None
        self.file: TextIO | None = None
        self.file_path = ""
        self.subprogram = ""
        self.facility = 0
        """0: not chosen, "daemon" for the system's syslog and "local0" for `target`."""
        self.syslogger: Syslogger = LibcSyslogger()
        self.target: SocketSyslogger | None = None
        self.n_messages = 0
        self.started = time.monotonic()

    def write(self, module: Vlog, level: Level, text: str) -> None:
        self.n_messages += 1
        text = text.rstrip("\n")
        if level <= module.levels[Destination.CONSOLE]:
            out = self.console or sys.stderr
            if out is not None:
                _write_line(out, self.render(Destination.CONSOLE, module, level, text))
        if level <= module.levels[Destination.FILE] and self.file is not None:
            _write_line(self.file, self.render(Destination.FILE, module, level, text))
        if level <= module.levels[Destination.SYSLOG]:
            for line in text.split("\n"):
                shown = self.render(Destination.SYSLOG, module, level, line)
                priority = (self.facility or FACILITIES["daemon"]) | _SYSLOG_PRIORITY[level]
                self.syslogger.send(self.program, priority, shown)
                if self.target is not None:
                    shown = self.expand(_TARGET_PREFIX, module, level, "") + shown
                    self.target.send_bytes(shown.encode(errors="backslashreplace"))

    def render(self, destination: Destination, module: Vlog, level: Level, text: str) -> str:
        """One message in the pattern of `destination`."""
        return self.expand(self.patterns[destination], module, level, text)

    def expand(self, pattern: str, module: Vlog, level: Level, text: str) -> str:
        """`pattern` (ovs-appctl(8), "PATTERN") filled in for one line."""

        def value(m: re.Match[str]) -> str:
            left, zero, width, directive, braces = m.groups()
            shown, rest = self._directive(directive, braces, module, level, text)
            pad = int(width or 0)
            if left:
                shown = shown.ljust(pad)
            else:
                shown = shown.rjust(pad, "0" if zero else " ")
            return shown + rest

        return _DIRECTIVE.sub(value, pattern)

    def _directive(
        self, directive: str, braces: str | None, module: Vlog, level: Level, text: str
    ) -> tuple[str, str]:
        """What a directive stands for, and text that follows its padding unchanged."""
        after = "" if braces is None else "{" + braces + "}"
        match directive:
            case "d" | "D":
                template = "%Y-%m-%d %H:%M:%S.###" if braces is None else braces
                return _strftime(template, self.wall(), utc=directive == "D"), ""
            case "A":
                return self.program, after
            case "B":
                return str((self.facility or FACILITIES["local0"]) | _SYSLOG_PRIORITY[level]), after
            case "c":
                return module.module, after
            case "E":
                return os.uname().nodename, after
            case "m":
                return text, after
            case "N":
                return str(self.n_messages), after
            case "n":
                return "\n", after
            case "p":
                return level.name, after
            case "P":
                return str(os.getpid()), after
            case "r":
                return str(int((time.monotonic() - self.started) * 1000)), after
            case "t" | "T":
                if self.subprogram:
                    return (self.subprogram if directive == "t" else f"({self.subprogram})"), ""
                return ("main" if directive == "t" and braces is None else ""), ""
            case "%":
                return "%", after
        return "%" + directive, after


def _write_line(out: TextIO, line: str) -> None:
    try:
        out.write(line + "\n")
        out.flush()
    except (OSError, ValueError):
        # A full disk or a closed terminal must not take the switch down, and there is nobody to tell.
        pass


_default_levels: list[Level] = [Level.WARN, Level.OFF, Level.INFO]
_modules: dict[str, Vlog] = {}
_sinks: Final = _Sinks()


def modules() -> list[Vlog]:
    """All log modules by name."""
    return [_modules[name] for name in sorted(_modules)]


def set_levels(module: str | None, destination: Destination | None, level: Level) -> bool:
    """Set the level of one or all modules (None) at one or all destinations.

    False if there is no such module. All modules includes those that appear later.
    """
    if module is not None and module not in _modules:
        return False
    where = list(Destination) if destination is None else [destination]
    for d in where:
        for m in _modules.values() if module is None else [_modules[module]]:
            m.set_level(d, level)
        if module is None:
            _default_levels[d] = level
    return True


def set_pattern(destination: Destination, pattern: str) -> None:
    """Set the layout of the lines at `destination`."""
    _sinks.patterns[destination] = pattern


def pattern(destination: Destination) -> str:
    """The layout of the lines at `destination`."""
    return _sinks.patterns[destination]


def set_facility(name: str) -> None:
    """Log to syslog as facility `name`; ValueError if there is none of that name."""
    if name not in FACILITIES:
        raise ValueError("invalid facility")
    _sinks.facility = FACILITIES[name]


def set_subprogram(name: str) -> None:
    """What this process is in its log lines, besides the program: "monitor", or "" for nothing."""
    _sinks.subprogram = name


def set_syslogger(syslogger: Syslogger) -> None:
    """How messages get to syslog."""
    _sinks.syslogger.close()
    _sinks.syslogger = syslogger


def set_syslog_target(target: SocketSyslogger) -> None:
    """Where else they go, in the form of RFC 5424."""
    if _sinks.target is not None:
        _sinks.target.close()
    _sinks.target = target


def syslog_prefix() -> str:
    """What stands in front of syslog's messages."""
    return _sinks.syslogger.prefix


def set_log_file(path: str) -> None:
    """Append to the file at `path` from now on. OSError if it can't be opened."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o660)
    close_log_file()
    _sinks.file = open(fd, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    _sinks.file_path = path
    Vlog("vlog").info("opened log file %s", path)


def close_log_file() -> None:
    """Stop logging to the file, if any; `reopen_log_file` goes on."""
    if _sinks.file is not None:
        Vlog("vlog").info("closing log file")
        _sinks.file.close()
        _sinks.file = None


def reopen_log_file() -> bool:
    """Close and open the log file, after it was renamed; False if there is none."""
    if not _sinks.file_path:
        return False
    set_log_file(_sinks.file_path)
    return True


def init(program: str, wall: Callable[[], float], console: TextIO | None = None) -> None:
    """Make this process log as a daemon does: INFO to the console, times from `wall`.

    `console` None is standard error.
    """
    _sinks.program = program
    _sinks.wall = wall
    _sinks.console = console
    set_levels(None, Destination.CONSOLE, Level.INFO)


def _state() -> tuple[Any, ...]:
    """What `_restore` needs to undo changes; for tests."""
    s = _sinks
    return (
        dict(s.__dict__, patterns=list(s.patterns)),
        list(_default_levels),
        {m.module: (list(m.levels), m.honor_rate_limits) for m in _modules.values()},
    )


def _restore(state: tuple[Any, ...]) -> None:
    _sinks.__dict__.update(state[0])
    _default_levels[:] = state[1]
    for m in list(_modules.values()):
        levels, m.honor_rate_limits = state[2].get(m.module, (list(_default_levels), True))
        for d in Destination:
            m.set_level(d, levels[d])


for _name in MODULES:
    Vlog(_name)
