"""Logging: the format of lines, levels, rate limits, and the vlog commands."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from vswitch.base import vlog
from vswitch.base.ratelimit import RateLimit
from vswitch.base.unixctl import Commands
from vswitch.base.vlog import Destination, Level, Vlog
from vswitch.base.vlog_commands import register


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    """A daemon's logging at 2026-01-01T00:00:00Z, console in memory, undone afterwards."""
    state = vlog._state()
    out = io.StringIO()
    vlog.init("ovs-vswitchd", lambda: 1767225600.0421, out)
    vlog._sinks.n_messages = 0
    yield out
    vlog.close_log_file()
    vlog._restore(state)


@pytest.fixture
def commands() -> Commands:
    commands = Commands()
    register(commands)
    return commands


def test_console_and_file_lines_are_those_of_ovs(console: io.StringIO, tmp_path: Path) -> None:
    path = tmp_path / "vswitchd.log"
    vlog.set_log_file(str(path))
    Vlog("bridge").warn("bridge %s: using datapath ID %016x", "br0", 0x2A)
    assert console.getvalue() == (
        f"2026-01-01T00:00:00Z|00001|vlog|INFO|opened log file {path}\n"
        "2026-01-01T00:00:00Z|00002|bridge|WARN|bridge br0: using datapath ID 000000000000002a\n"
    )
    assert path.read_text() == (
        f"2026-01-01T00:00:00.042Z|00001|vlog|INFO|opened log file {path}\n"
        "2026-01-01T00:00:00.042Z|00002|bridge|WARN|bridge br0: using datapath ID 000000000000002a\n"
    )


def test_a_message_without_arguments_may_hold_percent_signs(console: io.StringIO) -> None:
    Vlog("bridge").info("100% of {braces}")
    assert console.getvalue().endswith("|bridge|INFO|100% of {braces}\n")


def test_a_text_of_two_lines_has_one_header(console: io.StringIO) -> None:
    Vlog("bridge").info("first\nsecond\n")
    assert console.getvalue() == "2026-01-01T00:00:00Z|00001|bridge|INFO|first\nsecond\n"


def test_debug_is_off_until_asked_for(console: io.StringIO) -> None:
    log = Vlog("test_debug")
    log.dbg("hidden")
    assert not log.enabled(Level.DBG)
    vlog.set_levels("test_debug", Destination.CONSOLE, Level.DBG)
    log.dbg("shown %d", 1)
    assert console.getvalue() == "2026-01-01T00:00:00Z|00001|test_debug|DBG|shown 1\n"


def test_dropped_messages_are_told_when_there_is_room_again(console: io.StringIO) -> None:
    log = Vlog("dpif")
    rl = RateLimit(60, 1)
    for now in (0, 100, 200, 4200):
        log.warn_rl(rl, now, "lost packets at %d", now)
    assert [line.split("|", 2)[2] for line in console.getvalue().splitlines()] == [
        "dpif|WARN|lost packets at 0",
        "dpif|WARN|Dropped 2 log messages in last 4 seconds (most recently, 4 seconds ago)"
        " due to excessive rate",
        "dpif|WARN|lost packets at 4200",
    ]


def test_rate_limits_can_be_turned_off(console: io.StringIO, commands: Commands) -> None:
    log = Vlog("test_rl")
    rl = RateLimit(1, 1)
    assert commands.run("vlog/disable-rate-limit", ["test_rl"]) == (True, "")
    for _ in range(3):
        log.warn_rl(rl, 0, "x")
    assert console.getvalue().count("\n") == 3
    assert "test_rl           INFO        OFF       INFO    (rate limiting disabled)\n" in (
        commands.run("vlog/list", [])[1]
    )
    assert commands.run("vlog/enable-rate-limit", []) == (True, "")
    assert log.honor_rate_limits
    assert commands.run("vlog/enable-rate-limit", ["nosuch"]) == (False, "unknown module")


@pytest.mark.usefixtures("console")
def test_vlog_list_has_the_layout_of_ovs(commands: Commands) -> None:
    Vlog("ofproto_dpif_upcall")
    text = commands.run("vlog/list", [])[1]
    assert text.startswith(
        "                 console    syslog    file\n                 -------    ------    ------\n"
    )
    assert "ofproto_dpif_upcall  INFO        OFF       INFO\n" in text


@pytest.mark.usefixtures("console")
@pytest.mark.parametrize(
    ("spec", "levels"),
    [
        ("netdev:file:dbg", "INFO OFF DBG"),
        ("netdev", "DBG DBG DBG"),
        ("Netdev:CONSOLE:Warn", "WARN OFF INFO"),
        ("err console netdev", "ERR OFF INFO"),
        ("netdev,syslog emer", "INFO EMER INFO"),
        ("netdev::dbg", "DBG DBG DBG"),
        ("any:any:off", "OFF OFF OFF"),
        ("console:off", "OFF OFF INFO"),
        ("off", "OFF OFF OFF"),
    ],
)
def test_vlog_set(spec: str, levels: str, commands: Commands) -> None:
    log = Vlog("netdev")
    assert commands.run("vlog/set", [spec]) == (True, "")
    assert " ".join(level.name for level in log.levels) == levels


@pytest.mark.usefixtures("console")
@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("foo", 'no destination, level, or module "foo"'),
        ("any:any:bogus", 'no destination, level, or module "bogus"'),
        ("netdev,bridge dbg", "cannot specify multiple modules"),
        ("dbg,info", "cannot specify multiple levels"),
        ("file,console", "cannot specify multiple destinations"),
        ("PATTERN:x:y", 'unknown destination "x"'),
        ("FACILITY:x", "invalid facility"),
        ("FACILITY:", "invalid facility"),
    ],
)
def test_vlog_set_says_what_is_wrong(spec: str, error: str, commands: Commands) -> None:
    Vlog("netdev")
    Vlog("bridge")
    assert commands.run("vlog/set", [spec]) == (False, error)


def test_new_modules_get_the_level_of_any(console: io.StringIO, commands: Commands) -> None:
    commands.run("vlog/set", ["any:console:err"])
    Vlog("test_new_module").warn("not shown")
    assert console.getvalue() == ""


def test_pattern_of_a_destination(console: io.StringIO, commands: Commands) -> None:
    commands.run("vlog/set", ["PATTERN:console:%5p|%-8c|%m%%"])
    Vlog("dpif").warn("hello")
    assert console.getvalue() == " WARN|dpif    |hello%\n"
    assert commands.run("vlog/list-pattern", [])[1] == (
        "         prefix                            format\n"
        "         ------                            ------\n"
        "SYSLOG   <%B> %D{%h %e %T} %E %A:          ovs|%05N|%c%T|%p|%m\n"
        "CONSOLE  none                              %5p|%-8c|%m%%\n"
        "FILE     none                              %D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m\n"
    )


@pytest.mark.usefixtures("console")
def test_a_rotated_file_is_reopened(commands: Commands, tmp_path: Path) -> None:
    assert commands.run("vlog/reopen", []) == (False, "Logging to file not configured")
    path = tmp_path / "a.log"
    vlog.set_log_file(str(path))
    path.rename(tmp_path / "a.log.1")
    assert commands.run("vlog/reopen", []) == (True, "")
    Vlog("dpif").info("after")
    assert path.read_text().endswith("|dpif|INFO|after\n")
    assert "after" not in (tmp_path / "a.log.1").read_text()


def test_a_closed_console_does_not_stop_the_switch(console: io.StringIO) -> None:
    console.close()
    Vlog("dpif").err("nobody hears this")
