"""Our own `vswitch ofctl`, `vsctl` and `appctl` in place of the programs that they stand for, in this
process."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final
from unittest.mock import patch

from vswitch.cli.appctl import main as appctl
from vswitch.cli.ofctl.main import main as ofctl
from vswitch.cli.vsctl.main import main as vsctl

TOOLS: Final = {"ovs-ofctl": ofctl, "ovs-vsctl": vsctl, "ovs-appctl": appctl}


def run_own(
    words: Sequence[str], environment: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """What the tool of ours for the program `words[0]` says to the others, its own name as the program's. For
    the main thread: time limits are alarms."""
    program = words[0]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.dict(os.environ, environment),
        patch("sys.stdin", io.StringIO(stdin)),
    ):
        try:
            status = TOOLS[program](list(words[1:]))
        finally:
            signal.alarm(0)
    ours = program.replace("ovs-", "vswitch ")
    said = err.getvalue().replace(f"{ours}: ", f"{program}: ")
    return subprocess.CompletedProcess(list(words), status, out.getvalue(), said)
