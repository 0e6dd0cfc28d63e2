"""A switch in a directory of its own (`vswitch up`), and the programs that look at it."""

from __future__ import annotations

import subprocess

from tests.cli.sandbox import VSWITCH

FRAME = "ffffffffffff0a0000000001" + "88b5" + "00" * 46


class Place:
    """A switch with dummy devices, and exporters of it."""

    def __init__(self) -> None:
        self.servers: list[subprocess.Popen[str]] = []

    def run(self, *args: str) -> str:
        ran = subprocess.run([*VSWITCH, *args], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, f"{args}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def serve(self, *args: str) -> str:
        """Start a server (`exporter`, `web`): its address."""
        started = subprocess.Popen([*VSWITCH, *args], stdout=subprocess.PIPE, text=True)
        self.servers.append(started)
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line.startswith("serving http://"), line
        return line.split()[1]

    def export(self, *args: str) -> str:
        """Start an exporter: its address."""
        return self.serve("exporter", "--listen", "127.0.0.1:0", *args)

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
        self.run("down", "--wipe")
