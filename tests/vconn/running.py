"""A switch in memory whose main loop runs in a thread, so that real clients can talk to it."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.own_tools import run_both
from vswitch.base.clock import Clock
from vswitch.netdev.registry import enable_dummy
from vswitch.netdev.scope import Scope
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos

T = TypeVar("T")
TOOLS = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


class Running:
    """Bridge br0 with dummy ports, in real time unless `clock` is another, until `close`."""

    def __init__(self, directory: Path, ports: tuple[str, ...] = (), clock: Clock | None = None) -> None:
        self.directory = directory
        self.clock = clock or Clock()
        self.scope = scope = Scope()
        self._lock = threading.Lock()
        self._ending = False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.errors: list[BaseException] = []
        self.turns = 0
        enable_dummy("override", scope)
        self.ofprotos = Ofprotos(self.clock, scope=scope)
        self.bridge: OfprotoDpif = self.ofprotos.create("br0", "netdev")
        for number, name in enumerate(ports, 1):
            self.bridge.port_add(name, "dummy", number)
        self.mgmt = str(directory / "br0.mgmt")
        self.snoop = str(directory / "br0.snoop")
        self.bridge.controllers.set_mgmt(self.mgmt)
        self.bridge.controllers.set_snoops([self.snoop])
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _loop(self) -> None:
        while not self._ending:
            with self._lock:
                now = self.clock.now()
                try:
                    more = self.ofprotos.run(now)
                except BaseException as e:
                    self.errors.append(e)
                    return
                self.turns += 1
                fds = [*self.ofprotos.fds(), self._bell]
                when = self.ofprotos.wakeup(now)
            if not more:
                ready = select.select(fds, [], [], min(max(when - now, 0) / 1000, 0.2))[0]
                if self._bell in ready:
                    os.eventfd_read(self._bell)

    def do(self, function: Callable[[], T]) -> T:
        """Call `function` between two turns."""
        with self._lock:
            result = function()
        os.eventfd_write(self._bell, 1)
        return result

    def until(self, condition: Callable[[], Any], seconds: float = 15) -> Any:
        """What `condition()`, asked between turns, says once it is true. AssertionError: never."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert not self.errors, self.errors
            result = self.do(condition)
            if result:
                return result
            time.sleep(0.01)
        raise AssertionError(f"not in {seconds} s: {condition}")

    def ofctl(self, *args: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run ovs-ofctl, and our own tool, which find br0 in the run directory."""
        ran = run_both(["ovs-ofctl", *args], self.environment, **more)
        assert not check or ran.returncode == 0, ran.stderr
        return ran

    @property
    def environment(self) -> dict[str, str]:
        """Variables for which the real tools find this switch."""
        return {**os.environ, **TOOLS, "OVS_RUNDIR": str(self.directory)}

    def close(self) -> None:
        """End it; AssertionError if its loop broke."""
        self._ending = True
        os.eventfd_write(self._bell, 1)
        self._thread.join(10)
        self.ofprotos.close()
        os.close(self._bell)
        assert not self.errors, self.errors
