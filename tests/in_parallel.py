"""Run the tests a directory at a time, three at once: `python -m tests.in_parallel [PYTEST-ARGUMENT ...]`.

Tests wait for packets and timers more than they compute, so that three processes on two cores take about half
the time of one. A directory's tests share servers and devices and stay in one process; what a process
prints comes when it has ended, and the last lines say what failed.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

AT_ONCE = 3
LONGEST = ("uml", "ovn", "oracle", "bridge", "tunnels", "cli", "monitor", "conntrack", "trials", "vconn")
"""Directories that take minutes come first."""
OK, NOTHING_SELECTED = 0, 5
"""Exit statuses of pytest that are no failure."""

_printing = threading.Lock()


@dataclass(frozen=True)
class Part:
    """What one process ran: its exit status, seconds, output."""

    name: str
    status: int
    took: float
    text: str

    @property
    def failed(self) -> bool:
        return self.status not in (OK, NOTHING_SELECTED)


def parts() -> dict[str, list[str]]:
    """Name -> paths of each part, the longest first; the files in no directory are one."""
    top = Path(__file__).parent
    names = {path.parent.name for path in top.glob("*/test_*.py")}
    order = [*LONGEST, *sorted(names - set(LONGEST))]
    found = {name: [str(top / name)] for name in order}
    found["tests"] = [str(path) for path in sorted(top.glob("test_*.py"))]
    return found


def run(name: str, paths: list[str], arguments: list[str]) -> Part:
    """Run one part and print what it printed."""
    begin = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *paths, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    part = Part(name, ran.returncode, time.monotonic() - begin, ran.stdout)
    with _printing:
        print(f"===== {name}: {part.took:.0f} s, exit status {part.status}\n{part.text}", flush=True)
    return part


def main(arguments: list[str]) -> int:
    """Exit status 0 if every part went well and there was something to run."""
    begin = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(run, name, paths, arguments) for name, paths in parts().items()]
        done = [future.result() for future in running]
    failed = [part for part in done if part.failed]
    for part in done:
        summary = part.text.rstrip().rpartition("\n")[2].strip("= ")
        print(f"{part.name:<20} {'FAILED' if part.failed else 'ok':<7} {summary}")
    for part in failed:
        for line in part.text.splitlines():
            if line.startswith(("FAILED ", "ERROR ")):
                print(line)
    print(f"{len(done)} parts in {time.monotonic() - begin:.0f} s, {len(failed)} failed")
    return 1 if failed or all(part.status == NOTHING_SELECTED for part in done) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
