"""For how long nothing came through, while something happened."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Self

from tests.stack import until

INTERVAL = 0.02
_REPLY = re.compile(r"\[(\d+\.\d+)\] \d+ bytes from ")


class Watch:
    """Pings an address from a host every 20 ms while it is entered. Afterwards `longest` is the longest time
    in seconds between two answers, less the interval, and `answered` how many there were.

    `settled()` waits until answers come, `seconds` of them in a row.
    """

    def __init__(self, host: str, address: str) -> None:
        self.command = ["ip", "netns", "exec", host, "ping", "-D", "-n", "-i", str(INTERVAL), address]
        self.longest = 0.0
        self.answered = 0

    def __enter__(self) -> Self:
        self.out = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.command, stdout=self.out, stderr=subprocess.DEVNULL)
        self.started = time.time()
        self.settled()
        self.started = self.times()[0]
        return self

    def times(self) -> list[float]:
        """When each answer came, in seconds since the epoch."""
        self.out.seek(0)
        return [float(t) for t in _REPLY.findall(self.out.read())]

    def settled(self, seconds: float = 0.5, within: float = 40.0) -> None:
        """Wait until there were answers all through the last `seconds`."""
        since = time.time()

        def there_is() -> bool:
            now = time.time()
            last = [t for t in self.times() if t >= max(now - seconds, since)]
            return now - since > seconds and len(last) > seconds / INTERVAL * 0.6

        until(f"{' '.join(self.command[-2:])} is answered again", there_is, within)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = time.time()
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        times = [self.started, *self.times(), ended]
        self.out.close()
        self.answered = len(times) - 2
        gaps = [b - a for a, b in itertools.pairwise(times)]
        self.longest = max(0.0, max(gaps) - INTERVAL)
