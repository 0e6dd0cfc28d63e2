"""Run the tests a directory at a time, three at once: `python -m tests.in_parallel [PYTEST-ARGUMENT ...]`.

Tests wait for packets and timers more than they compute, so that three processes on two cores take about half
the time of one. A directory's tests share servers and devices and stay in one process; what a process
prints comes when it has ended. Tests that failed run once more afterwards, in a process by themselves with
nothing beside them; the last lines say what failed, and what did so at first only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

AT_ONCE = 3
LONGEST = ("uml", "ovn", "oracle", "bridge", "tunnels", "cli", "monitor", "conntrack", "trials", "vconn")
"""Directories that take minutes come first."""
OK, SOME_FAILED, NOTHING_SELECTED = 0, 1, 5
"""Exit statuses of pytest. Any other is of a run that did not come to its end."""

_printing = threading.Lock()


@dataclass(frozen=True)
class Part:
    """What one process ran: its exit status, seconds, output. `retried`: its failed tests went well after."""

    name: str
    status: int
    took: float
    text: str
    retried: bool = False

    @property
    def failed(self) -> bool:
        return self.status not in (OK, NOTHING_SELECTED) and not self.retried

    @property
    def verdict(self) -> str:
        return "FAILED" if self.failed else "retried" if self.retried else "ok"


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


def retry(part: Part, paths: list[str], arguments: list[str]) -> Part:
    """The part, with its failed tests run once more."""
    print(f"----- {part.name}: what failed, once more, alone", flush=True)
    again = run(part.name, paths, [*arguments, "--last-failed", "--last-failed-no-failures=none"])
    return replace(part, retried=again.status == OK, text=part.text + again.text)


def main(arguments: list[str]) -> int:
    """Exit status 0 if every part went well and there was something to run."""
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="vswitch-tests-") as failures,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):

        def told(name: str) -> list[str]:
            """The arguments of a part, which keeps a list of its failed tests."""
            return [*arguments, "-o", f"cache_dir={failures}/{name}"]

        where = parts()
        running = [pool.submit(run, name, paths, told(name)) for name, paths in where.items()]
        done = [future.result() for future in running]
        done = [
            retry(part, where[part.name], told(part.name)) if part.status == SOME_FAILED else part
            for part in done
        ]
    for part in done:
        summary = part.text.rstrip().rpartition("\n")[2].strip("= ")
        print(f"{part.name:<20} {part.verdict:<7} {summary}")
    for part in done:
        for line in part.text.splitlines() if part.failed or part.retried else ():
            if line.startswith(("FAILED ", "ERROR ")):
                print(line)
    failed = [part for part in done if part.failed]
    n_retried = sum(part.retried for part in done)
    print(f"{len(done)} parts in {time.monotonic() - begin:.0f} s, {n_retried} retried, {len(failed)} failed")
    return 1 if failed or all(part.status == NOTHING_SELECTED for part in done) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
