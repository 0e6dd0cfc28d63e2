"""`--timeout` as the real tools have it: SIGALRM ends the process."""

from __future__ import annotations

import os
import signal
import sys


def set_alarm(seconds: int, program: str) -> None:
    """End the process by SIGALRM in `seconds`, with a line about it; 0 takes that back."""
    if seconds == 0:
        signal.alarm(0)
        return

    def expire(number: int, _frame: object) -> None:
        print(f"{program}: terminating with signal 14 (Alarm clock)", file=sys.stderr, flush=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
