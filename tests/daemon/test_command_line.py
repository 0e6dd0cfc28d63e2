"""The command line of `vswitchd` is ovs-vswitchd's, down to what is said of a wrong one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.vswitchd import words
from vswitch.base import vlog
from vswitch.cli import vswitchd
from vswitch.cli.long_options import OptionError, Takes, parse

LONG = {"help": Takes.NOTHING, "helper": Takes.NOTHING, "file": Takes.OPTIONAL, "key": Takes.REQUIRED}
SHORT = {"h": "help", "f": "file", "k": "key"}

WRONG = """
--bogus
--bogus=3
-z
-m -V
--ver
--di
--s
--d
--dis=4
--detach=2
--mlockall=3
--o=3
--unixctl
-p
--ca-cert
--bootstrap-ca-cert
--dpdk
--enable-dummy=zz --version
-vfoo:bar
-vPATTERN:x:y
-vPATTERN:foo
-vFACILITY:zz
-vFACILITY
-vconsole:dbg:info -V
-vconsole:syslog -V
-vdpif:ofproto -V
--syslog-method=zz
a b
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where files go; logging is as before when the test ends."""
    state = vlog._state()
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("OVS_SYSLOG_METHOD", "null")
    yield tmp_path
    vlog.close_log_file()
    vlog._restore(state)


def ours(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[object, str, str]:
    """Exit status, output and errors of a `vswitchd` that gets no further than its command line."""
    with pytest.raises(SystemExit) as ended:
        vswitchd.main(args)
    out, err = capsys.readouterr()
    return ended.value.code, out, err


@pytest.mark.system
@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_a_wrong_command_line_gets_the_real_ones_answer(
    line: str, directory: Path, capsys: pytest.CaptureFixture[str], require: Callable[..., None]
) -> None:
    require("command:ovs-vswitchd")
    program = shutil.which("ovs-vswitchd") or "/usr/sbin/ovs-vswitchd"
    real = subprocess.run(
        ["ovs-vswitchd", *words(line)], executable=program, capture_output=True, text=True, timeout=10,
        check=False,
    )  # fmt: skip
    assert real.returncode == 1
    assert ours(capsys, *words(line)) == (1, "", real.stderr)


def test_version_has_the_form_that_scripts_cut(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _err = ours(capsys, "--pid", "--vers")
    program, closing, version = out.splitlines()[0].rpartition(") ")
    assert (status, program, closing) == (0, "ovs-vswitchd (Open vSwitch", ") ")
    assert version == "3.1.0"


def test_help_names_the_places(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = ours(capsys, "-v", "-h")
    assert (status, err) == (0, "")
    assert f'(default: "unix:{directory}/db.sock")' in out
    assert f"(default: {directory}/ovs-vswitchd.log)" in out


def test_every_option_of_help_is_one(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _status, out, _err = ours(capsys, "--help")
    named = {word.split("=")[0].rstrip("[,") for word in out.split() if word.startswith("--")}
    assert named - {"--"} <= {f"--{name}" for name in vswitchd.LONG}


def test_a_log_file_that_cannot_be_opened_ends_it(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _out, err = ours(capsys, "--log-file=/nonexistent/x")
    assert status == 1
    assert err.endswith("|WARN|failed to open /nonexistent/x for logging: No such file or directory\n")


def test_paths_begin_in_the_run_directory(directory: Path) -> None:
    options = vswitchd.read_options(["--pidfile", "--unixctl=here.ctl"])
    assert options.pidfile == f"{directory}/ovs-vswitchd.pid"
    assert options.unixctl == f"{directory}/here.ctl"
    assert options.database == f"unix:{directory}/db.sock"
    options = vswitchd.read_options(["--pidfile=/run/x.pid", "--unixctl=none", "tcp:[::1]:6640"])
    assert (options.pidfile, options.unixctl, options.database) == ("/run/x.pid", "none", "tcp:[::1]:6640")


def test_tls_options_are_read(directory: Path) -> None:
    options = vswitchd.read_options(["-p", "k.pem", "--certificate=c.pem", "--bootstrap-ca-cert", "ca.pem"])
    assert options.tls == {"private-key": "k.pem", "certificate": "c.pem", "bootstrap-ca-cert": "ca.pem"}


def test_levels_can_name_modules_of_the_real_switch(directory: Path) -> None:
    vswitchd.read_options(["-vofproto_dpif_rid:file:dbg", "-vANY:console:err"])
    assert vlog.Vlog("ofproto_dpif_rid").levels[vlog.Destination.FILE] is vlog.Level.DBG
    assert vlog.Vlog("bridge").levels[vlog.Destination.CONSOLE] is vlog.Level.ERR


def test_options_may_be_anywhere_short_and_shared() -> None:
    parsed = parse(["a", "-hfx", "--file", "b", "--fi=y", "-k", "v", "--", "-h"], LONG, SHORT)
    assert parsed.options == [("help", None), ("file", "x"), ("file", None), ("file", "y"), ("key", "v")]
    assert parsed.arguments == ["a", "b", "-h"]


def test_a_whole_name_is_not_ambiguous() -> None:
    assert parse(["--help"], LONG, SHORT).options == [("help", None)]
    with pytest.raises(OptionError, match="'--hel' is ambiguous; possibilities: '--help' '--helper'"):
        parse(["--hel"], LONG, SHORT)
