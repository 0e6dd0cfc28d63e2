"""Two hosts in network namespaces and the switch between them, for tests with real traffic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
A, B, W = NAMES = tuple(f"nd{os.getpid()}{letter}" for letter in "ABW")
"""The namespaces: host A, host B, and the one with the switch."""


def sh(*words: str, check: bool = True) -> str:
    """Run a command; its standard output. What it said is in the error."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def within(namespace: str, *words: str, check: bool = True) -> str:
    return sh("ip", "netns", "exec", namespace, *words, check=check)


@contextmanager
def namespaces() -> Iterator[None]:
    """Hosts A (10.8.0.1, fd08::1) and B (.2); their outer ends ndpA and ndpB in W."""
    for name in NAMES:
        sh("ip", "netns", "del", name, check=False)
    try:
        for name in NAMES:
            sh("ip", "netns", "add", name)
            within(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", check=False)
        within(W, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", check=False)
        for n, (x, host) in enumerate((("A", A), ("B", B)), 1):
            sh("ip", "-n", W, "link", "add", f"ndp{x}", "type", "veth",
               "peer", "name", "eth0", "netns", host)
            sh("ip", "-n", host, "link", "set", "eth0", "address", f"02:00:00:00:08:0{n}")
            sh("ip", "-n", host, "addr", "add", f"10.8.0.{n}/24", "dev", "eth0")
            sh("ip", "-n", host, "addr", "add", f"fd08::{n}/64", "dev", "eth0", "nodad")
            sh("ip", "-n", host, "link", "set", "eth0", "up")
            sh("ip", "-n", host, "link", "set", "lo", "up")
            sh("ip", "-n", W, "link", "set", f"ndp{x}", "up")
        yield
    finally:
        for name in NAMES:
            sh("ip", "netns", "del", name, check=False)


def switch_command(*ports: str) -> list[str]:
    """The command that forwards between `ports` (`crossover.py`)."""
    return [sys.executable, "-m", "tests.netdev.crossover", *ports]


def switch_environment() -> dict[str, str]:
    import vswitch

    assert vswitch.__file__ is not None
    return dict(os.environ, PYTHONPATH=f"{Path(vswitch.__file__).parents[1]}:{ROOT}")


@contextmanager
def crossover(namespace: str, *ports: str) -> Iterator[subprocess.Popen[str]]:
    """Run the userspace datapath in `namespace`, forwarding between `ports`, until left."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, *switch_command(*ports)], text=True, cwd=ROOT,
        env=switch_environment(), stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n", f"the switch did not start: {line}"
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def within_switch(namespace: str, program: str) -> str:
    """Run Python in `namespace` with the package at hand; what it printed."""
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, env=switch_environment(), cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
