"""A network namespace of a test's own, with or without root's rights."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from vswitch.base.unixctl import CommandError
from vswitch.cli.appctl import ask

VSWITCH = (sys.executable, "-m", "vswitch")


class Sandbox:
    """Commands run in a fresh network namespace, which goes when `close` is called.

    `user`: inside a user namespace, so that nothing needs root's rights. `outer`: a sandbox
    whose user namespace this one's network namespace belongs to.
    """

    def __init__(self, user: bool = False, outer: Sandbox | None = None) -> None:
        hold = ["unshare", "-Urn" if user and outer is None else "-n", "sleep", "infinity"]
        self.user = user if outer is None else outer.user
        self._mine = os.readlink(f"/proc/{'self' if outer is None else outer.holder.pid}/ns/net")
        self.holder = subprocess.Popen(hold if outer is None else outer.command(*hold))
        for _ in range(500):
            if self.holder.poll() is not None or self._inside():
                break
            time.sleep(0.01)

    def _inside(self) -> bool:
        pid = self.holder.pid
        try:
            return (
                os.readlink(f"/proc/{pid}/ns/net") != self._mine
                and Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
            )
        except OSError:
            return False

    def command(self, *args: str) -> list[str]:
        """The command line that runs `args` in here."""
        enter = ["nsenter", "-t", str(self.holder.pid), "-n"]
        if self.user:
            enter += ["-U", "--preserve-credentials"]
        return [*enter, *args]

    def run(self, *args: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run `args` in here to their end."""
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=timeout)

    def sh(self, script: str) -> str:
        """Run a shell script in here; AssertionError with its words if it fails."""
        ran = self.run("sh", "-ec", script)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return ran.stdout

    def devices(self) -> set[str]:
        """Names of the network devices in here, but for those that the kernel makes itself."""
        found = set()
        for line in self.sh("ip -br link").splitlines():
            name = line.split()[0].partition("@")[0]
            if name.rstrip("0123456789") in ("veth", "br", "p", "q", "ovs-system", "ovs-netdev", "tap", "h"):
                found.add(name)
        return found

    def close(self) -> None:
        """Let go of the namespace."""
        self.holder.kill()
        self.holder.wait()


def wait_until(condition: object, seconds: float = 15) -> bool:
    """Ask `condition()` until it is true; whether it became so in time."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def answers(control: Path) -> bool:
    """Whether the switch with that control socket is up. The socket is there earlier than that; then the
    answer takes until the switch is up."""
    try:
        return bool(ask(str(control), "version"))
    except (CommandError, OSError):
        return False
