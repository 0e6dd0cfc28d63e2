"""Reads trials and runs their lines on a switch.

A trial is a line "[NAME]" and then commands, one a line, on an emptied bridge `sw` with dummy ports e31,
e32, e33 (1, 2, 3):

    vsctl WORDS...                 ovs-vsctl
    ofctl WORDS...                 ovs-ofctl, in OpenFlow 1.0 unless `-O` says otherwise
    appctl WORDS...                a runtime command of the switch
    receive PORT PACKET            a packet arrives: bytes in hexadecimal or flow text
    ports                          how many packets went out of each port since the last time
    log MODULES...                 what these modules have logged since the last time
    wait MS

Lines that begin with "| " are the standard input of the command above. `#` begins a comment. Words are
split as a shell does; `$NAME` stands for a packet of `PACKETS`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.ofctl.scenario import VERSIONS, normalised
from tests.oracle.real import OracleError, RealSwitch
from tests.own_tools import run_own

IP: Final = "450000280001000040060000c0a80001c0a800020001000200000000000000005002000000000000"
PACKETS: Final = {
    "TCP": "0200000000020200000000010800" + IP,
    "ARP": "0200000000020200000000010806000108000604000102000000000ac0a80001000000000000c0a80002" + "00" * 18,
    "IP": IP,
    "QINQ": "0200000000110200000000128100001e8100001f0800"
            "45000024000100004011267dc0a80001c0a80002000100020010000068656c6c6f776f72",
    "LONG": ",".join(["output:1"] * 4090),
    "UDP": "0200000000110200000000120800"
           "45000024000100004011267dc0a80001c0a80002000100020010000068656c6c6f776f72",
}
"""A TCP segment, an ARP request, the TCP segment without its Ethernet header, a UDP datagram with two tags,
and without."""

FREE: Final = (
    # Which of the two it is hangs on whose hello comes first.
    (re.compile(r"(?<=failed to connect to socket )\(Broken pipe\)"), "(Protocol error)"),
    (re.compile(r"\bused:[0-9.]+s"), "used:T"),
    (re.compile(r"\bufid:[0-9a-f-]+, ?"), ""),
    (re.compile(r"\brecirc(_id=|\()(0x[0-9a-f]+|[1-9][0-9]*)"), r"recirc\1N"),
    (re.compile(r"\brecirc_id\(0x[0-9a-f]+\)"), "recirc_id(N)"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"in last \d+ seconds \(most recently, \d+ seconds ago\)"), "in last N seconds"),
    (re.compile(r"(?<=numa_id 0 core_id )\d+"), "N"),
    (re.compile(r"^bridge\(.*\n|^Bridge: .*\n", re.MULTILINE), ""),
)  # fmt: skip
LEFT_OUT: Final = re.compile(r"\|WARN\|Dropped \d+ log messages")
INSIDE: Final = re.compile(r"\|DBG\|(Creating|Destroying|Simple match|.*netdev_max_backlog|\S+: (dumped all"
                            r" flows|flow_dump|get_stats))")
"""What is logged of the real switch's own tables and reading of settings, and what is every now and then."""
UNORDERED: Final = (
    "dump-groups", "dump-group-stats", "dump-meters", "dpctl/dump-flows", "dpif/dump-flows",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One command: its first word, and the others."""

    kind: str
    words: tuple[str, ...]
    stdin: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {shlex.join(self.words)}"


def read_trials(path: Path) -> dict[str, list[Line]]:
    """Trial name -> its lines."""
    found: dict[str, list[Line]] = {}
    lines: list[Line] = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.startswith("["):
            lines = found[text.strip("[]")] = []
        elif text and not text.startswith("#"):
            if text.startswith("| "):
                last = lines.pop()
                lines.append(Line(last.kind, last.words, f"{last.stdin}{with_packets(text[2:])}\n"))
                continue
            kind, *words = shlex.split(with_packets(text))
            assert kind in KINDS, f"{path.name}:{number}: what is {kind!r}?"
            lines.append(Line(kind, tuple(words)))
    return found


def with_packets(text: str) -> str:
    """`text` with packets in place of their names."""
    for name, packet in PACKETS.items():
        text = text.replace(f"${name}", packet)
    return text


class Bench:
    """One of the two switches, with the bridge of a trial. `own`: its lines are carried out by our own
    `vswitch ofctl`, `vsctl` and `appctl`."""

    def __init__(self, switch: RealSwitch, own: bool = False) -> None:
        self.switch = switch
        self.own = own
        self.sent: dict[str, int] = {}
        self.logged = 0
        """How much of the switch's log has been looked at."""

    def prepare(self) -> None:
        """Bridge sw anew. What another trial left goes."""
        switch = self.switch
        there = switch.run("ovs-vsctl", "list-br").split()
        gone = [word for name in there for word in ("--", "del-br", name)]
        # A bridge that goes and comes back in one transaction stays.
        switch.run("ovs-vsctl", *gone, "--", "clear", "open_vswitch", ".", "other_config")
        switch.run("ovs-vsctl", "add-br", "sw", "--", "set", "bridge", "sw", "datapath_type=dummy",
                   "fail_mode=secure", f"protocols={','.join(VERSIONS)}",
                   "other_config:datapath-id=00000000000000a1")  # fmt: skip
        for number in (1, 2, 3):
            switch.run("ovs-vsctl", "add-port", "sw", f"e3{number}", "--", "set", "interface", f"e3{number}",
                       "type=dummy", f"ofport_request={number}")  # fmt: skip
        self.transmitted()
        self.logged = len(self._log())

    def _log(self) -> str:
        return next(
            path.read_text(errors="replace")
            for path in self.switch.directory.glob("*.out")
            if path.name != "ovsdb-server.out"
        )

    def log(self, modules: tuple[str, ...]) -> str:
        """The new messages of `modules`, without their times and numbers. What earlier trials left out of the
        log, for there was much of it, is not told; a trial that needs more warps time."""
        log = self._log()
        new = re.sub(r"unix#\d+", "unix#N", log[self.logged :])
        self.logged = len(log)
        new = re.sub(r" (mega_)?ufid:[0-9a-f-]{36}", "", new)
        messages = re.split(r"^[0-9T:Z-]{20}\|\d{5}\|", new, flags=re.MULTILINE)
        told = [re.match(r"(\w+)(\(\w+\))?(\|.*)", message, re.DOTALL) for message in messages]
        return "".join(
            f"{m[1]}{m[3]}" for m in told
            if m is not None and m[1] in modules and not INSIDE.match(m[3]) and not LEFT_OUT.match(m[3])
        )

    def tool(self, *words: str, stdin: str = "") -> str:
        """What a program says, with its exit status if it fails."""
        if self.own:
            ran = run_own(words, self.switch.environment, stdin)
        else:
            ran = subprocess.run(words, env=self.switch.environment, input=stdin, capture_output=True,
                                 text=True, check=False, timeout=30)  # fmt: skip
        status = f"exit {ran.returncode}\n" if ran.returncode else ""
        said = [line for line in ran.stderr.splitlines() if "default log directory" not in line]
        return ran.stdout + "".join(f"{line}\n" for line in said) + status

    def appctl(self, *words: str) -> str:
        """What a runtime command says, or the error that it gets."""
        if self.own:
            target = f"{self.switch.directory}/vswitchd.ctl"
            ran = run_own(["ovs-appctl", "-t", target, *words], self.switch.environment)
            end = f"ovs-appctl: {target}: server returned an error\n"
            assert ran.stderr.endswith(end) == bool(ran.returncode)
            return f"error: {ran.stderr.removesuffix(end)}" if ran.returncode else ran.stdout
        try:
            return self.switch.appctl(*words)
        except OracleError as error:
            return f"error: {error}\n"

    def transmitted(self) -> str:
        """What went out of each port since the last time; ports that sent nothing are left out."""
        dump = self.tool("ovs-ofctl", "dump-ports", "sw")
        found = re.findall(r"port\s+\"?(\w+)\"?: rx.*\n.*tx pkts=(\d+)", dump)
        gained = {name: int(n) - self.sent.get(name, 0) for name, n in found}
        self.sent = {name: int(n) for name, n in found}
        return ", ".join(f"{name}: {n}" for name, n in sorted(gained.items()) if n) + "\n"

    def run(self, line: Line) -> str:
        """What `line` says, without what two runs of one switch would say differently."""
        words = line.words
        if line.kind == "vsctl":
            text = self.tool("ovs-vsctl", "-t", "15", *words)
        elif line.kind == "ofctl":
            text = self.tool("ovs-ofctl", *words, stdin=line.stdin)
        elif line.kind == "appctl":
            text = self.appctl(*words)
        elif line.kind == "receive":
            text = self.appctl("netdev-dummy/receive", *words)
        elif line.kind == "ports":
            text = self.transmitted()
        elif line.kind == "log":
            text = self.log(words)
        else:
            time.sleep(int(words[0]) / 1000)
            text = ""
        text = normalised(text, self.switch.directory)
        for pattern, instead in FREE:
            text = pattern.sub(instead, text)
        if any(word in UNORDERED for word in words):
            text = "\n".join(sorted(text.splitlines()))
        return text.strip()


KINDS: Final = ("vsctl", "ofctl", "appctl", "receive", "ports", "log", "wait")
