"""`vswitch ofctl` says and does what ovs-ofctl does: the same lines to both, each on a real switch of
its own; then the same on ours."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ovsdb.pair import real_server
from vswitch.cli.ofctl.main import main
from vswitch.ovsdb.vswitch_schema import VSWITCH

pytestmark = pytest.mark.system

LINES = Path(__file__).with_name("ofctl_commands.txt")
FILES = {
    "FLOWS": "priority=5,tcp,actions=output:2\nip,actions=drop # all the rest\n",
    "BADFLOWS": "actions=drop\n\nip,actions=nonsense\n",
    "OTHERFLOWS": "priority=5,tcp,actions=output:1\ntable=1,cookie=0x5,udp,idle_timeout=30,actions=NORMAL\n",
    "GROUPS": "group_id=7,type=all,bucket=output:1,bucket=output:2\n",
    "BUNDLE": "flow add priority=1,actions=drop\ngroup add group_id=3,type=all\nflow delete tcp\n",
    "BADBUNDLE": "flow add priority=8,actions=drop\ngroup add group_id=3,type=all\n",
}


@contextlib.contextmanager
def real_switch(home: Path) -> Iterator[Path]:
    """The real ovs-vswitchd with bridge br0 and dummy ports p1 and p2; its run directory."""
    home.mkdir()
    env = dict(os.environ, OVS_RUNDIR=str(home), OVS_LOGDIR=str(home), OVS_DBDIR=str(home))
    with real_server(home / "conf.db", VSWITCH) as sock:
        command = ["ovs-vswitchd", "--enable-dummy", "--no-chdir", "-vconsole:off", f"unix:{sock}"]
        process = subprocess.Popen([*command, "--pidfile"], env=env)
        try:
            setup = ["ovs-vsctl", f"--db=unix:{sock}", "-t", "20"]
            ports: list[str] = []
            for n in (1, 2):
                ports += ["--", "add-port", "br0", f"p{n}", "--", "set", "interface", f"p{n}", "type=dummy",
                          f"ofport_request={n}", f'mac="aa:55:aa:66:00:0{n}"']  # fmt: skip
            subprocess.run(
                [*setup, "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
                 "other-config:hwaddr=aa:55:aa:55:00:00", *ports],
                check=True,
            )  # fmt: skip
            yield home
        finally:
            process.terminate()
            process.wait(10)


def words_of(line: str, files: Path) -> list[str]:
    return [str(files / word) if word in FILES or word == "NOFILE" else word for word in line.split()]


def ours(home: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, int]:
    monkeypatch.setenv("OVS_RUNDIR", str(home))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    return out.getvalue(), err.getvalue(), status


def theirs(home: Path, words: list[str]) -> tuple[str, str, int]:
    env = dict(os.environ, OVS_RUNDIR=str(home))
    ran = subprocess.run(
        ["ovs-ofctl", *words], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    return ran.stdout, ran.stderr, ran.returncode


def comparable(line: str, text: str) -> Any:
    """Text without what the clock decides, and without the warnings that ovs-ofctl logs beside its error."""
    text = re.sub(r"(?m)^\S+Z\|\d+\|\S+\|WARN\|.*\n", "", text)
    text = re.sub(r"xid=(0x)?[0-9a-f]+", "xid=N", text)
    text = re.sub(r"(duration|time)([=:])[0-9.]+ ?m?s?", r"\1\2N", text)
    text = re.sub(r"(idle|hard)_age=\d+, ", "", text)
    text = re.sub(r"/[ab]/br0.mgmt", "/br0.mgmt", text)
    text = text.replace("ovs-ofctl: ", "").replace("vswitch ofctl: ", "")
    if "sort" not in line and any(w in line for w in ("dump-flows", "diff-flows", "dump-group")):
        return sorted(text.splitlines())
    return text


def test_every_command_says_and_does_what_ovs_ofctl_does(
    require: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("command:ovs-vswitchd", "command:ovs-ofctl")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    differing = []
    with real_switch(tmp_path / "a") as a, real_switch(tmp_path / "b") as b:
        for line in LINES.read_text().splitlines():
            words = words_of(line, tmp_path)
            mine, real = ours(a, words, monkeypatch), theirs(b, words)
            same = [
                comparable(line, m) == comparable(line, r) for m, r in zip(mine[:2], real[:2], strict=True)
            ]
            if not all(same) or mine[2] != real[2]:
                differing.append(f"$ {line}\n--- ours [{mine[2]}]\n{mine[0]}{mine[1]}--- real [{real[2]}]\n"
                                 f"{real[0]}{real[1]}")  # fmt: skip
    assert not differing, "\n".join(differing)


def test_monitor_prints_what_comes_until_it_is_ended(require: Any, tmp_path: Path) -> None:
    require("command:ovs-vswitchd", "command:ovs-ofctl")
    with real_switch(tmp_path / "a") as home:
        env = dict(os.environ, OVS_RUNDIR=str(home))
        command = [sys.executable, "-m", "vswitch", "ofctl", "monitor", "br0", "65534", "watch:!initial"]
        with (home / "monitor").open("wb") as out:
            watching = subprocess.Popen(command, stderr=out, env=env)
        try:
            seen = ""
            deadline = time.monotonic() + 20
            n = 0
            while "event=ADDED" not in seen or "NXT_PACKET_IN2" not in seen:
                assert time.monotonic() < deadline, seen
                n += 1
                theirs(home, ["add-flow", "br0", f"in_port=1,priority={n},tcp,actions=controller"])
                theirs(home, ["packet-out", "br0", "1", "controller", "ff" * 60])
                time.sleep(0.05)
                seen = (home / "monitor").read_text()
            assert "actions=CONTROLLER:65535" in seen
            assert "total_len=60 in_port=1 (via action)" in seen
        finally:
            watching.terminate()
            watching.wait(10)
