"""`vswitch vsctl` says and does what ovs-vsctl does: the same lines to both, each on a real database
server of its own; then what only shows over time."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.ovsdb.pair import our_server, real_server
from vswitch.cli.vsctl.main import main
from vswitch.ovsdb.vswitch_schema import VSWITCH

pytestmark = pytest.mark.system

LINES = Path(__file__).with_name("vsctl_commands.txt")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ours(sock: str, line: str) -> tuple[str, int, str]:
    """(standard output, exit status, standard error) of a line."""
    words = shlex.split(line)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*_database(words, sock), *words])
    return out.getvalue(), status, err.getvalue()


def theirs(sock: str, line: str) -> tuple[str, int, str]:
    words = shlex.split(line)
    command = ["ovs-vsctl", *_database(words, sock), *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return ran.stdout, ran.returncode, ran.stderr


def _database(words: list[str], sock: str) -> list[str]:
    return [] if any(word.startswith("--db") for word in words) else [f"--db=unix:{sock}"]


def comparable(line: str, text: str) -> Any:
    """Output without what is up to chance: UUIDs, and where those decide, the order."""
    text = UUID.sub("UUID", text)
    if "show" in line.split():
        return sorted(text.splitlines())
    if "list" in line.split() or "find" in line.split():
        return sorted(text.rstrip("\n").split("\n\n")) if ": " in text else sorted(text.splitlines())
    return text


def message(text: str) -> str:
    """What an error says, without the program's name; warnings, which are log lines there, left out."""
    lines = [line for line in UUID.sub("UUID", text).splitlines() if "|" not in line]
    wrong = [line for line in lines if line.startswith(("ovs-vsctl: ", "vswitch vsctl: "))]
    return wrong[-1].partition(": ")[2] if wrong else ""


def contents(sock: str) -> list[str]:
    """All rows of the database, UUIDs left out."""
    dump = ["ovsdb-client", "-f", "csv", "dump", f"unix:{sock}", "Open_vSwitch"]
    return sorted(UUID.sub("UUID", subprocess.check_output(dump, text=True)).splitlines())


def test_every_command_says_and_does_what_ovs_vsctl_does(require: Any, tmp_path: Path) -> None:
    require("command:ovs-vsctl", "command:ovsdb-server")
    differing: list[str] = []
    n = 0
    with contextlib.ExitStack() as undo:
        for part in re.split(r"^== .*\n", LINES.read_text(), flags=re.MULTILINE):
            n += 1
            a = undo.enter_context(real_server(tmp_path / f"a{n}.db", VSWITCH))
            b = undo.enter_context(real_server(tmp_path / f"b{n}.db", VSWITCH))
            for line in part.splitlines():
                mine, real = ours(a, line), theirs(b, line)
                if comparable(line, mine[0]) != comparable(line, real[0]) or mine[1] != real[1]:
                    differing.append(f"{line}\n  ours: {mine}\n  real: {real}")
                elif real[1] == 1 and message(mine[2]) != message(real[2]):
                    differing.append(f"{line}\n  ours: {mine[2]}\n  real: {real[2]}")
            assert contents(a) == contents(b)
    assert not differing, "\n".join(differing)


def test_show_can_be_asked_for_less(require: Any, tmp_path: Path) -> None:
    require("command:ovsdb-server")
    with real_server(tmp_path / "db", VSWITCH) as database:
        ours(database, "--no-wait add-br br0 -- add-port br0 p1 -- add-port br0 p2 -- add-br br1"
                       " -- add-port br1 v1 -- set interface v1 type=vxlan options:remote_ip=10.0.0.9")
        root = ours(database, "get open_vswitch . _uuid")[0]
        assert ours(database, "--filter=interface(vxlan) show") == (
            f"{root}    Bridge br1\n        Port v1\n            Interface v1\n"
            "                type: vxlan\n                options: {remote_ip=\"10.0.0.9\"}\n", 0, "")
        two = ours(database, "--filter 'Port(p1)|bridge(br1)' show")[0].splitlines()
        shown = [line.strip() for line in two if " Port " in line or " Bridge " in line]
        assert sorted(shown) == ["Bridge br0", "Bridge br1", "Port br1", "Port p1", "Port v1"]
        assert ours(database, "--filter=bridge(br9) show") == ("", 0, "")
        assert ours(database, "--filter=bridge() show")[0] == ours(database, "show")[0]
        for bad, said in (("br0", 'filter "br0" is not of the form TABLE(TEXT)'),
                          ("qos(a)", 'filter "qos(a)": no table "qos" is shown, but Open_vSwitch, Bridge, ')):
            out, status, error = ours(database, f"'--filter={bad}' show")
            assert (out, status) == ("", 1)
            assert said in error


def test_a_command_waits_until_the_switch_has_carried_it_out(require: Any, tmp_path: Path) -> None:
    require("command:ovs-vsctl")
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, _):
        ours(sock, "--no-wait init")
        done: list[tuple[str, int, str]] = []
        waiting = threading.Thread(
            target=lambda: done.append(ours(sock, "add-br br0 -- add-port br0 nosuch"))
        )
        waiting.start()
        # As the switch does it: it looks at the bridges, writes what became of them, then cur_cfg.
        theirs(sock, "-t 20 wait-until interface nosuch")
        assert not done
        theirs(sock, '--no-wait set interface nosuch ofport=-1 error=\\""no such device"\\"')
        theirs(sock, "--no-wait set open . cur_cfg=1")
        waiting.join(20)
        assert [(out, status) for out, status, _ in done] == [("", 0)]
        assert "Error detected while setting up 'nosuch': no such device." in done[0][2]


def test_wait_until_returns_when_somebody_makes_it_true(require: Any, tmp_path: Path) -> None:
    require("command:ovs-vsctl")
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, _):
        ours(sock, "--no-wait add-br br0")
        done: list[tuple[str, int, str]] = []
        line = "wait-until bridge br0 external_ids:ready=yes -- get bridge br0 external_ids"
        waiting = threading.Thread(target=lambda: done.append(ours(sock, line)))
        waiting.start()
        theirs(sock, "--no-wait set bridge br0 external_ids:other=1")
        assert not done
        theirs(sock, "--no-wait set bridge br0 external_ids:ready=yes")
        waiting.join(20)
        assert done == [('{other="1", ready=yes}\n', 0, "")]


def test_lines_that_race_for_the_same_column_all_take_effect(require: Any, tmp_path: Path) -> None:
    require("command:ovs-vsctl")
    with real_server(tmp_path / "a.db", VSWITCH) as sock:
        ours(sock, "--no-wait add-br br0")

        def add(n: int) -> None:
            for k in range(10):
                main([f"--db=unix:{sock}", "--no-wait", "add-port", "br0", f"p{n}-{k}"])

        racers = [threading.Thread(target=add, args=(n,)) for n in range(4)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(60)
        ports = theirs(sock, "list-ports br0")[0].split()
        assert sorted(ports) == sorted(f"p{n}-{k}" for n in range(4) for k in range(10))


def test_a_timeout_ends_it_as_an_alarm_does(require: Any, tmp_path: Path) -> None:
    require("command:ovs-vsctl")
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, _):
        command = [sys.executable, "-m", "vswitch", "vsctl", f"--db=unix:{sock}", "-t", "1"]
        ran = subprocess.run(
            [*command, "wait-until", "bridge", "never"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        real = theirs(sock, "-t 1 wait-until bridge never")
        assert ran.returncode == real[1] == -signal.SIGALRM
        assert "terminating with signal 14 (Alarm clock)" in ran.stderr


def test_reading_half_of_the_output_is_no_error(tmp_path: Path) -> None:
    with our_server(tmp_path / "a.db", VSWITCH) as (sock, _):
        ours(sock, "--no-wait add-br br0")
        command = f"{sys.executable} -m vswitch vsctl --db=unix:{sock} list interface | true"
        ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
        assert (ran.stdout, ran.stderr) == ("", "")


@pytest.mark.parametrize("kind", ["tcp", "ssl"])
def test_over_the_network(kind: str, require: Any, tmp_path: Path) -> None:
    require("command:ovsdb-server", "command:openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    files = [f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={certificate}"]
    with real_server(tmp_path / "real.db", VSWITCH, [*files, f"--remote=p{kind}:0:127.0.0.1"]) as sock:
        control = ["ovs-appctl", "-t", f"{tmp_path}/real.db.ctl"]
        assert subprocess.check_output([*control, "version"], text=True)
        pid = subprocess.check_output(["fuser", sock], text=True, stderr=subprocess.DEVNULL).split()[0]
        found = subprocess.check_output(["ss", "-Hltnp"], text=True)
        port = re.search(rf"127\.0\.0\.1:(\d+) .*pid={pid},", found)
        assert port is not None, found
        args = [f"--db={kind}:127.0.0.1:{port[1]}", *(files if kind == "ssl" else ())]
        assert main([*args, "--no-wait", "add-br", "br7"]) == 0
        assert theirs(sock, "list-br")[0] == "br7\n"


def test_a_process_uses_no_more_than_its_own_library(tmp_path: Path) -> None:
    env = dict(os.environ, PYTHONWARNINGS="error")
    command = [sys.executable, "-m", "vswitch", "vsctl", "--db=unix:/nonexistent", "list-br"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)
    assert ran.returncode == 1
    assert ran.stderr == (
        "vswitch vsctl: unix:/nonexistent: database connection failed (No such file or directory)\n"
    )
