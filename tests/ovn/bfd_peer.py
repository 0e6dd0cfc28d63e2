"""FRR's bfdd on a machine: what a router of OVN watches the next hops of its routes by."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.stack import until

BFDD = "/usr/lib/frr/bfdd"
ZEBRA = "/usr/lib/frr/zebra"


class BfdPeer:
    """zebra and bfdd; `kill` ends bfdd as a crash does."""

    def __init__(self, directory: Path, host: str) -> None:
        self.directory = directory
        self.host = host
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, daemon: str) -> None:
        run, name = self.directory, Path(daemon).name
        command = [
            "ip", "netns", "exec", self.host, daemon, "-f", f"{run}/{name}.conf", "-i", f"{run}/{name}.pid",
            "-z", f"{run}/zserv.api", "--vty_socket", str(run),
        ]  # fmt: skip
        if daemon == BFDD:
            command += ["--bfdctl", f"{run}/bfdd.sock"]
        (run / f"{name}.vty").unlink(missing_ok=True)
        with (run / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        until(f"{name}'s socket", (run / f"{name}.vty").exists)

    def kill(self, name: str = "bfdd") -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()


@contextmanager
def bfd_peer(host: str, sessions: Sequence[tuple[str, str]]) -> Iterator[BfdPeer]:
    """bfdd on `host`, with a session from each address of its own to another one."""
    directory = Path(tempfile.mkdtemp(prefix="bfdd-"))
    peer = BfdPeer(directory, host)
    try:
        lines = ["bfd"]
        for own, other in sessions:
            lines += [f" peer {other} local-address {own} interface eth0", "  transmit-interval 300",
                      "  receive-interval 300", "  no shutdown"]  # fmt: skip
        (directory / "bfdd.conf").write_text("\n".join(lines) + "\n")
        (directory / "zebra.conf").touch()
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, "frr", "frr")
        for daemon in (ZEBRA, BFDD):
            peer.start(daemon)
        yield peer
    finally:
        for name in list(peer.processes):
            peer.kill(name)
        shutil.rmtree(directory, ignore_errors=True)
